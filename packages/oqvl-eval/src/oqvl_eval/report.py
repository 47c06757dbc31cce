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


class ScoreReport(Frozen):
    """Result of `oqvl-eval score`: the score of one run."""

    task: str = Field(description="name of the task")
    model: str = Field(description="name of the checkpoint")
    mode: str = Field(description="generate or likelihood")
    images: str = Field(description="given, shuffled or blank")
    profile: str = Field(description="the profile that answers were judged by")
    normalisation: str | None = Field(description="how likelihoods were compared; null for generated answers")
    predictions_digest: str = Field(description="digest of the predictions' manifest")
    confidence: float = Field(description="coverage of all intervals")
    overall: Accuracy = Field(description="accuracy over all items")
    chance: float | None = Field(description="expected accuracy of choosing options at random; null without options")
    clusters: ClusterAccuracy | None = Field(description="accuracy by cluster; null if every cluster has one item")
    categories: dict[str, Accuracy] = Field(description="accuracy by category; empty with fewer than two categories")
    yes_no: YesNo | None = Field(description="precision, recall and F1 of yes-or-no questions; null without any")
    by_normalisation: dict[str, float] = Field(description="likelihood mode: accuracy under every normalisation")
    reading_counts: ReadingCounts = Field(description="counts of how the answers were read")

    @property
    def accuracy(self) -> float:
        """The share of correct answers among all items."""
        return self.overall.accuracy

    def table(self) -> str:
        """Return the report as text."""
        how = f"{self.profile}, {self.mode}" + (f" ({self.normalisation})" if self.normalisation else "")
        counts = self.reading_counts
        header = _pairs(
            ("task", self.task),
            ("model", self.model),
            ("pictures", self.images),
            ("scored", how),
            ("answers", _statuses(counts)),
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
        return f"{header}\n\n{_columns(['', 'items', 'accuracy', interval, ''], rows)}"


class CompareReport(Frozen):
    """Result of `oqvl-eval compare`: a paired comparison of two runs on the same items."""

    task: str = Field(description="name of the task")
    model_a: str = Field(description="name of checkpoint A")
    model_b: str = Field(description="name of checkpoint B")
    images_a: str = Field(description="A's pictures: given, shuffled or blank")
    images_b: str = Field(description="B's pictures: given, shuffled or blank")
    num_items: int = Field(description="number of items")
    num_clusters: int = Field(description="number of clusters of these items")
    both_correct: int = Field(description="number of items that both answered correctly")
    only_a: int = Field(description="number of items that only A answered correctly (b)")
    only_b: int = Field(description="number of items that only B answered correctly (c)")
    both_wrong: int = Field(description="number of items that neither answered correctly")
    accuracy_a: float = Field(description="A's accuracy")
    accuracy_b: float = Field(description="B's accuracy")
    difference: float = Field(description="accuracy_b - accuracy_a")
    confidence: float = Field(description="coverage of the interval")
    bootstrap: Interval = Field(description="interval of the difference, from resampling whole clusters in pairs")
    mcnemar: McNemar = Field(description="McNemar's test, which treats items as independent")
    num_prompts_differing: int = Field(description="number of items that A and B were asked with different prompts")

    def table(self) -> str:
        """Return the report as text."""
        test = self.mcnemar
        header = _pairs(
            ("task", self.task),
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
        tests = _columns(
            ["McNemar", "statistic", "p"],
            [
                ["exact", f"{test.statistic}", f"{test.exact_p:.4g}"],
                ["mid-p", f"{test.statistic}", f"{test.mid_p:.4g}"],
                ["chi-square", f"{test.chi2:.3f}", f"{test.chi2_p:.4g}"],
                ["continuity-corrected", f"{test.corrected_chi2:.3f}", f"{test.corrected_p:.4g}"],
            ],
        )
        interval = f"{100 * self.confidence:g}% interval {self.bootstrap}, {self.num_clusters:,} clusters resampled"
        lines = [f"B - A: {100 * self.difference:+.1f} points, {interval}"]
        if self.num_clusters < self.num_items:
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
    read: str | None = Field(default=None, description="what was read from the answer; empty if nothing was")
    status: Status | None = Field(
        default=None, description="how the reading ended: read, unread, ambiguous, refused or no_answer"
    )
    by: str | None = Field(default=None, description="the rule that decided the reading")
    is_correct: bool | None = Field(default=None, description="whether the answer is correct")


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
    verdict = {None: "", True: "right", False: "wrong"}[item.is_correct]
    return _pairs(
        ("item", item.item_id),
        ("category", item.category),
        ("question", (item.question or "").replace("\n", "\n" + " " * 12)),
        ("options", "\n" + "\n".join(options) if options else ""),
        ("answer", item.answer),
        ("reasoning", "" if item.reasoning is None else repr(item.reasoning)),
        ("output", "" if item.output is None else repr(item.output)),
        ("likelihood", likelihoods),
        ("read", f"{item.read or _STATUS_WORDS[item.status]} by {item.by}: {verdict}" if item.status else ""),
    )


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
