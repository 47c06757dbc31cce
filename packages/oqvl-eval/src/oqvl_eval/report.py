"""What the commands return. A report prints as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from oqvl_eval.aggregate import Accuracy, ClusterAccuracy, ReadingCounts, YesNo
from oqvl_eval.intervals import Interval
from oqvl_eval.mcnemar import McNemar
from oqvl_eval.reading.reading import Status
from oqvl_shards.config import Frozen

_STATUS_WORDS: dict[Status, str] = {
    "read": "read",
    "unread": "nothing",
    "ambiguous": "several things",
    "refused": "a refusal",
    "no_answer": "no answer",
}

_MAX_FIGURES = 5
_PARTIAL_CREDIT = (
    "some answers have partial credit: the tables count full credit, and only the interval below tests the difference"
)


class EvalReport(Frozen):
    """Result of `oqvl-eval run`: the predictions that were written."""

    task: str = Field(description="name of the task")
    model: str = Field(description="name of the checkpoint")
    mode: str = Field(description="generate or likelihood")
    images: str = Field(description="given, shuffled or blank")
    num_items: int = Field(description="number of items answered")
    num_reused: int = Field(description="number of these that an earlier run had answered")
    predictions: str = Field(description="directory of the predictions dataset")
    digest: str = Field(description="digest of its manifest")

    def table(self) -> str:
        """Return the report as text."""
        return _pairs(
            ("task", self.task),
            ("model", self.model),
            ("mode", f"{self.mode}, pictures {self.images}"),
            ("items", f"{self.num_items:,} ({self.num_reused:,} from an earlier run)"),
            ("predictions", self.predictions),
            ("digest", self.digest),
        )


class ProfileScore(Frozen):
    """The score of one run under one profile, in short."""

    profile: str = Field(description="the profile that answers were judged by")
    source: str = Field(description="the repository and the commit whose rules these are; empty if they are ours")
    is_generic: bool = Field(description="whether the profile does not know the task, so that generic rules were used")
    notes: list[str] = Field(description="what to know about the score, such as bugs that are reproduced")
    score: float | None = Field(description="the figure that the profile calls the score; null if it is undefined")
    score_name: str = Field(description="the name of that figure, e.g. accuracy, circular or f1")
    accuracy: float = Field(description="mean credit of all items")
    num_needing_judge: int = Field(description="answers that only a judge model could grade; they count as wrong")
    reading_counts: ReadingCounts = Field(description="counts of how the answers were read")


class ProfileSpread(Frozen):
    """The scores of one run under several profiles."""

    scores: list[ProfileScore] = Field(description="one score per profile, in the order in which they were asked for")
    spread: float = Field(description="highest accuracy minus lowest accuracy")
    num_differing: int = Field(description="number of items whose answers have different credits")

    def table(self, num_items: int) -> str:
        """Return the scores as text, side by side."""
        header = ["profile", "score", "accuracy", "read", "unread", "several", "refused", "none", "judge", "by"]
        lines = [_columns(header, [_profile_row(score) for score in self.scores])]
        lines.append(
            f"spread of accuracy {100 * self.spread:.1f} points; "
            f"{self.num_differing:,} of {num_items:,} answers are judged differently"
        )
        generic = [score.profile for score in self.scores if score.is_generic]
        if generic:
            lines.append(f"generic rules, since the task is not known to them: {', '.join(generic)}")
        return "\n".join(lines)


class ScoreReport(Frozen):
    """Result of `oqvl-eval score`: the score of one run."""

    task: str = Field(description="name of the task")
    model: str = Field(description="name of the checkpoint")
    mode: str = Field(description="generate or likelihood")
    images: str = Field(description="given, shuffled or blank")
    profile: str = Field(description="the profile that answers were judged by")
    source: str = Field(description="the repository and the commit whose rules these are; empty if they are ours")
    is_generic: bool = Field(description="whether the profile does not know the task, so that generic rules were used")
    notes: list[str] = Field(description="what to know about the score, such as bugs that are reproduced")
    normalisation: str | None = Field(description="how likelihoods were compared; null for generated answers")
    predictions_digest: str = Field(description="digest of the predictions' manifest")
    confidence: float = Field(description="coverage of all intervals")
    score: float | None = Field(description="the figure that the profile calls the score; null if it is undefined")
    score_name: str = Field(description="the name of that figure, e.g. accuracy, circular or f1")
    figures: dict[str, float | None] = Field(description="all figures of the profile, as fractions")
    overall: Accuracy = Field(description="accuracy over all items")
    chance: float | None = Field(description="expected accuracy of choosing options at random; null without options")
    clusters: ClusterAccuracy | None = Field(description="accuracy by cluster; null if every cluster has one item")
    categories: dict[str, Accuracy] = Field(description="accuracy by category; empty with fewer than two categories")
    yes_no: YesNo | None = Field(description="precision, recall and F1 of yes-or-no questions; null without any")
    by_normalisation: dict[str, float] = Field(description="likelihood mode: accuracy under every normalisation")
    num_needing_judge: int = Field(description="answers that only a judge model could grade; they count as wrong")
    reading_counts: ReadingCounts = Field(description="counts of how the answers were read")
    profiles: ProfileSpread | None = Field(
        default=None, description="the scores under all profiles; null if there is only one, and in stored scores"
    )

    @property
    def accuracy(self) -> float:
        """The mean credit of all items: the share of correct answers, unless some have partial credit."""
        return self.overall.accuracy

    def in_short(self) -> ProfileScore:
        """Return what is compared with other profiles."""
        return ProfileScore(**{name: getattr(self, name) for name in ProfileScore.model_fields})

    def table(self) -> str:
        """Return the report as text."""
        how = f"{self.profile}, {self.mode}" + (f" ({self.normalisation})" if self.normalisation else "")
        counts = self.reading_counts
        header = _pairs(
            ("task", self.task),
            ("model", self.model),
            ("pictures", self.images),
            ("scored", how),
            ("rules of", _rules_of(self)),
            ("score", _figures(self)),
            ("answers", _statuses(counts)),
            ("judge", f"{self.num_needing_judge:,} answers need one and count as wrong" * bool(self.num_needing_judge)),
            ("read by", ", ".join(f"{rule} {count:,}" for rule, count in counts.by_rule.items())),
            ("letters", _letters(counts)),
            ("yes or no", _yes_no(self.yes_no) if self.yes_no else ""),
            ("normalised", ", ".join(f"{name} {_percent(value)}" for name, value in self.by_normalisation.items())),
        )
        rows = [_accuracy_row("all", self.overall)]
        if self.clusters:
            rows[0] += [f"{self.clusters.bootstrap} by cluster"]
            rows.append(_accuracy_row("whole clusters", self.clusters.all_correct))
        rows += [_accuracy_row(name or "(none)", accuracy) for name, accuracy in self.categories.items()]
        if self.chance is not None:
            rows.append(["chance", "", _percent(self.chance)])
        interval = f"{100 * self.confidence:g}% interval"
        blocks = [header, _columns(["", "items", "accuracy", interval, ""], rows)]
        if self.profiles:
            blocks.append(self.profiles.table(self.overall.num_items))
        return "\n\n".join(blocks)


class CompareReport(Frozen):
    """Result of `oqvl-eval compare`: a paired comparison of two runs on the same items."""

    task: str = Field(description="name of the task")
    model_a: str = Field(description="name of checkpoint A")
    model_b: str = Field(description="name of checkpoint B")
    images_a: str = Field(description="A's pictures: given, shuffled or blank")
    images_b: str = Field(description="B's pictures: given, shuffled or blank")
    num_items: int = Field(description="number of items")
    num_clusters: int = Field(description="number of clusters of these items")
    profile: str = Field(description="the profile that answers were judged by")
    both_correct: int = Field(description="number of items that both answered with full credit")
    only_a: int = Field(description="number of items that only A answered with full credit (b)")
    only_b: int = Field(description="number of items that only B answered with full credit (c)")
    both_wrong: int = Field(description="number of items that neither answered with full credit")
    accuracy_a: float = Field(description="A's mean credit")
    accuracy_b: float = Field(description="B's mean credit")
    difference: float = Field(description="accuracy_b - accuracy_a")
    confidence: float = Field(description="coverage of the interval")
    bootstrap: Interval = Field(description="interval of the difference, from resampling whole clusters in pairs")
    mcnemar: McNemar | None = Field(
        description="McNemar's test, which treats items as independent; null if some answers have partial credit, "
        "which the test does not know"
    )
    num_prompts_differing: int = Field(description="number of items that A and B were asked with different prompts")

    def table(self) -> str:
        """Return the report as text."""
        header = _pairs(
            ("task", self.task),
            ("scored", self.profile),
            ("A", f"{self.model_a}, pictures {self.images_a}"),
            ("B", f"{self.model_b}, pictures {self.images_b}"),
        )
        systems = _columns(
            ["", "items", "accuracy"],
            [
                ["A", f"{self.num_items:,}", _percent(self.accuracy_a)],
                ["B", f"{self.num_items:,}", _percent(self.accuracy_b)],
            ],
        )
        counts = _columns(
            ["", "B right", "B wrong"],
            [
                ["A right", f"{self.both_correct:,}", f"{self.only_a:,}"],
                ["A wrong", f"{self.only_b:,}", f"{self.both_wrong:,}"],
            ],
        )
        tests = _tests(self.mcnemar) if self.mcnemar else _PARTIAL_CREDIT
        interval = f"{100 * self.confidence:g}% interval {self.bootstrap}, {self.num_clusters:,} clusters resampled"
        lines = [f"B - A: {100 * self.difference:+.1f} points, {interval}"]
        if self.mcnemar and self.num_clusters < self.num_items:
            lines.append("the items of a cluster are not independent: the interval allows for that, the tests do not")
        if self.num_prompts_differing:
            lines.append(f"{self.num_prompts_differing:,} items were asked with different prompts")
        return "\n\n".join([header, systems, counts, tests, "\n".join(lines)])


class ImportReport(Frozen):
    """Result of `oqvl-eval import`: the benchmark that was written."""

    task: str = Field(description="name of the task")
    num_items: int = Field(description="number of items")
    num_clusters: int = Field(description="number of clusters")
    num_images: int = Field(description="number of different pictures")
    benchmark: str = Field(description="directory of the benchmark dataset")
    digest: str = Field(description="digest of its manifest")

    def table(self) -> str:
        """Return the report as text."""
        return _pairs(
            ("task", self.task),
            ("items", f"{self.num_items:,} in {self.num_clusters:,} clusters"),
            ("pictures", f"{self.num_images:,}"),
            ("benchmark", self.benchmark),
            ("digest", self.digest),
        )


class ShownVerdict(Frozen):
    """How one profile judged an answer."""

    read: str = Field(description="what was read from the answer; empty if nothing was")
    status: Status = Field(description="how the reading ended: read, unread, ambiguous, refused or no_answer")
    by: str = Field(description="the rule that decided the reading")
    credit: float = Field(description="credit of the answer, between 0 and 1")
    needs_judge: bool = Field(description="whether only a judge model could grade the answer; it counts as wrong")


class ShownItem(Frozen):
    """One item, with the model's answer if the dataset has one."""

    item_id: str = Field(description="id of the item")
    category: str = Field(description="category of the item")
    question: str | None = Field(description="the item's segments, with <name> for a picture; null for predictions")
    choices: list[str] = Field(description="the options")
    answer: str = Field(description="the right answer")
    output: str | None = Field(default=None, description="the generated text, without its reasoning")
    reasoning: str | None = Field(default=None, description="the reasoning in the generated text; null without any")
    likelihoods: dict[str, float] = Field(default_factory=dict, description="log-probability of each continuation")
    verdicts: dict[str, ShownVerdict] = Field(
        default_factory=dict, description="how each profile judged the answer, by the profile"
    )


class ShowReport(Frozen):
    """Result of `oqvl-eval show`: items of a dataset."""

    dataset: str = Field(description="directory of the dataset")
    normalisation: str | None = Field(
        default=None, description="how likelihoods were compared; null for benchmarks and generated answers"
    )
    num_matching: int = Field(description="number of items that match")
    items: list[ShownItem] = Field(description="the first matching items")

    def table(self) -> str:
        """Return the report as text."""
        judged = f", judged by {self.normalisation}" if self.normalisation else ""
        head = f"{self.dataset}: {self.num_matching:,} matching items, {len(self.items)} shown{judged}"
        return "\n\n".join([head, *(_shown(item) for item in self.items)])


def _shown(item: ShownItem) -> str:
    """Lay out one item as (name, value) lines."""
    options = [f"    {chr(ord('A') + index)}. {choice}" for index, choice in enumerate(item.choices)]
    likelihoods = ", ".join(f"{text!r} {value:.3f}" for text, value in item.likelihoods.items())
    return _pairs(
        ("item", item.item_id),
        ("category", item.category),
        ("question", (item.question or "").replace("\n", "\n" + " " * 12)),
        ("options", "\n" + "\n".join(options) if options else ""),
        ("answer", item.answer),
        ("reasoning", "" if item.reasoning is None else repr(item.reasoning)),
        ("output", "" if item.output is None else repr(item.output)),
        ("likelihood", likelihoods),
        *(("read", line) for line in _verdict_lines(item)),
    )


def _verdict_lines(item: ShownItem) -> list[str]:
    """Say in words what each profile read and what it is worth. The profile is named if there are several."""
    lines = []
    for profile, verdict in item.verdicts.items():
        outcome = {0.0: "wrong", 1.0: "right"}.get(verdict.credit, f"credit {verdict.credit:.3f}")
        outcome = "needs a judge" if verdict.needs_judge else outcome
        by = f" ({profile})" if len(item.verdicts) > 1 else ""
        lines.append(f"{verdict.read or _STATUS_WORDS[verdict.status]} by {verdict.by}: {outcome}{by}")
    return lines


def _tests(mcnemar: McNemar) -> str:
    return _columns(
        ["McNemar", "statistic", "p"],
        [
            ["exact", f"{mcnemar.statistic}", f"{mcnemar.exact_p:.4g}"],
            ["mid-p", f"{mcnemar.statistic}", f"{mcnemar.mid_p:.4g}"],
            ["chi-square", f"{mcnemar.chi2:.3f}", f"{mcnemar.chi2_p:.4g}"],
            ["continuity-corrected", f"{mcnemar.corrected_chi2:.3f}", f"{mcnemar.corrected_p:.4g}"],
        ],
    )


def _rules_of(report: ScoreReport) -> str:
    generic = " (generic rules: it does not know the task)" if report.is_generic else ""
    return f"{report.source}{generic}" if report.source else ""


def _figures(report: ScoreReport) -> str:
    """Lay out the figures that say more than the accuracy, the score first."""
    if set(report.figures) == {"accuracy"} and report.score == report.accuracy:
        return ""
    others = [
        f"{name} {_percent_or_none(value)}" for name, value in report.figures.items() if name != report.score_name
    ]
    more = f"{len(others) - _MAX_FIGURES} more with --json"
    shown = others if len(others) <= _MAX_FIGURES else [*others[:_MAX_FIGURES], more]
    return ", ".join([f"{report.score_name} {_percent_or_none(report.score)}", *shown])


def _profile_row(score: ProfileScore) -> list[str]:
    counts = score.reading_counts
    statuses = (counts.read, counts.unread, counts.ambiguous, counts.refused, counts.no_answer, score.num_needing_judge)
    return [
        score.profile,
        f"{score.score_name} {_percent_or_none(score.score)}",
        _percent(score.accuracy),
        *(f"{number:,}" for number in statuses),
        score.source or "OQVL",
    ]


def _percent_or_none(value: float | None) -> str:
    return "undefined" if value is None else _percent(value)


def _yes_no(score: YesNo) -> str:
    return (
        f"F1 {_percent(score.f1)} (mean of categories {_percent(score.mean_category_f1)}), "
        f"precision {_percent(score.precision)}, recall {_percent(score.recall)}, "
        f"yes {_percent(score.yes_ratio)} of {_percent(score.gold_yes_ratio)}"
    )


def _statuses(counts: ReadingCounts) -> str:
    """Say in words how many answers ended how. Only those that were read are always mentioned."""
    others = (
        (counts.unread, "could not be read"),
        (counts.ambiguous, "say several things"),
        (counts.refused, "decline to answer"),
        (counts.no_answer, "have no answer"),
    )
    return ", ".join([f"{counts.read:,} read", *(f"{number:,} {words}" for number, words in others if number)])


def _letters(counts: ReadingCounts) -> str:
    letters = sorted({*counts.gold_letters, *counts.read_letters})
    if not letters:
        return ""
    shares = (f"{x} {counts.read_letters.get(x, 0):,}/{counts.gold_letters.get(x, 0):,}" for x in letters)
    return f"{', '.join(shares)} (read/right)"


def _accuracy_row(name: str, accuracy: Accuracy) -> list[str]:
    return [name, f"{accuracy.num_items:,}", _percent(accuracy.accuracy), str(accuracy.wilson)]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _pairs(*pairs: tuple[str, str]) -> str:
    """Lay out (name, value) lines, and leave out pairs without a value."""
    return "\n".join(f"{name:<12}{value}" for name, value in pairs if value)


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table. The first column is aligned to the left, and the others to the right."""
    padded = [[*row, *[""] * (len(header) - len(row))] for row in [header, *rows]]
    widths = [max(len(row[index]) for row in padded) for index in range(len(header))]
    lines = []
    for row in padded:
        first, *others = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join([first, *others]).rstrip())
    return "\n".join(lines)
