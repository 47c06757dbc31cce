"""From verdicts to figures: accuracies with intervals, and counts of how the answers were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import Field

from oqvl_eval.config import JudgingConfig
from oqvl_eval.intervals import Interval, cluster_bootstrap, wilson_interval
from oqvl_eval.scoring import Verdict
from oqvl_shards.config import Frozen


class Accuracy(Frozen):
    """How many of some items were answered rightly."""

    num_items: int = Field(description="items")
    num_correct: int = Field(description="right answers")
    accuracy: float = Field(description="num_correct / num_items")
    wilson: Interval = Field(description="Wilson's score interval, which treats items as independent")

    @classmethod
    def of(cls, outcomes: Iterable[bool], confidence: float) -> Accuracy:
        """Count `outcomes`, of which there must be one at least."""
        correct = list(outcomes)
        return cls(
            num_items=len(correct),
            num_correct=sum(correct),
            accuracy=sum(correct) / len(correct),
            wilson=wilson_interval(sum(correct), len(correct), confidence),
        )


class ClusterAccuracy(Frozen):
    """The same, where items come in clusters."""

    num_clusters: int = Field(description="clusters")
    bootstrap: Interval = Field(description="interval of the items' accuracy when whole clusters are resampled")
    all_correct: Accuracy = Field(description="clusters of which every item was answered rightly")


class YesNo(Frozen):
    """How a model answers questions of yes or no, `yes` being the positive answer."""

    precision: float = Field(description="right among the answers read as yes; 0 when there are none")
    recall: float = Field(description="answers read as yes among the questions whose answer is yes")
    f1: float = Field(description="harmonic mean of precision and recall")
    yes_ratio: float = Field(description="answers read as yes among all; the questions' own ratio is gold_yes_ratio")
    gold_yes_ratio: float = Field(description="questions whose answer is yes among all")
    mean_category_f1: float = Field(description="mean of the categories' f1")


class ReadingCounts(Frozen):
    """How the answers were read."""

    parsed: int = Field(description="answers that say one thing")
    unparsed: int = Field(description="answers in which nothing was found; wrong")
    ambiguous: int = Field(description="answers that say several things, or options that tie; wrong")
    by_rule: dict[str, int] = Field(description="answers by the rule that decided, e.g. letter, declaration, no_rule")
    gold_letters: dict[str, int] = Field(description="how often each letter is right, over items with options")
    read_letters: dict[str, int] = Field(description="how often each letter was read, over items with options")


def by_category(verdicts: Sequence[Verdict], confidence: float) -> dict[str, Accuracy]:
    """Return the accuracy of each category, in the order of their names; empty when there are fewer than two."""
    outcomes: dict[str, list[bool]] = {}
    for verdict in verdicts:
        outcomes.setdefault(verdict.item.category, []).append(verdict.is_correct)
    if len(outcomes) < 2:
        return {}
    return {category: Accuracy.of(outcomes[category], confidence) for category in sorted(outcomes)}


def by_cluster(verdicts: Sequence[Verdict], config: JudgingConfig) -> ClusterAccuracy | None:
    """Return what clusters add to the score; None when every cluster has one item."""
    all_correct: dict[str, bool] = {}
    for verdict in verdicts:
        cluster = verdict.item.cluster_id
        all_correct[cluster] = all_correct.get(cluster, True) and verdict.is_correct
    if len(all_correct) == len(verdicts):
        return None
    bootstrap = cluster_bootstrap(
        ((verdict.item.cluster_id, float(verdict.is_correct)) for verdict in verdicts),
        num_resamples=config.num_resamples,
        seed=config.seed,
        confidence=config.confidence,
    )
    return ClusterAccuracy(
        num_clusters=len(all_correct),
        bootstrap=bootstrap,
        all_correct=Accuracy.of(all_correct.values(), config.confidence),
    )


def yes_no(verdicts: Sequence[Verdict]) -> YesNo | None:
    """Return precision, recall and F1 of the items of rule `yes_no`; None without any.

    An answer that could not be read is no `yes`: it costs recall where `yes` is right, and accuracy everywhere.
    """
    asked = [verdict for verdict in verdicts if verdict.item.scoring_rule == "yes_no"]
    if not asked:
        return None
    categories: dict[str, list[Verdict]] = {}
    for verdict in asked:
        categories.setdefault(verdict.item.category, []).append(verdict)
    precision, recall, f1 = _precision_recall_f1(asked)
    return YesNo(
        precision=precision,
        recall=recall,
        f1=f1,
        yes_ratio=sum(verdict.extraction.answer == "yes" for verdict in asked) / len(asked),
        gold_yes_ratio=sum(verdict.item.answer == "yes" for verdict in asked) / len(asked),
        mean_category_f1=sum(_precision_recall_f1(group)[2] for group in categories.values()) / len(categories),
    )


def _precision_recall_f1(verdicts: Sequence[Verdict]) -> tuple[float, float, float]:
    num_read = sum(verdict.extraction.answer == "yes" for verdict in verdicts)
    num_gold = sum(verdict.item.answer == "yes" for verdict in verdicts)
    num_true = sum(verdict.is_correct for verdict in verdicts if verdict.item.answer == "yes")
    precision, recall = num_true / max(num_read, 1), num_true / max(num_gold, 1)
    return precision, recall, 2 * num_true / max(num_read + num_gold, 1)


def chance_level(verdicts: Sequence[Verdict]) -> float | None:
    """Return the expected accuracy of drawing an option evenly, open questions never right; None without options."""
    if not any(verdict.item.choices for verdict in verdicts):
        return None
    return sum(1 / len(verdict.item.choices) for verdict in verdicts if verdict.item.choices) / len(verdicts)


def reading_counts(verdicts: Sequence[Verdict]) -> ReadingCounts:
    """Count how the answers were read."""
    status = Counter(verdict.extraction.status for verdict in verdicts)
    with_options = [verdict for verdict in verdicts if verdict.item.scoring_rule == "multiple_choice"]
    return ReadingCounts(
        parsed=status["parsed"],
        unparsed=status["unparsed"],
        ambiguous=status["ambiguous"],
        by_rule=_sorted_counts(verdict.extraction.by for verdict in verdicts),
        gold_letters=_sorted_counts(verdict.item.answer for verdict in with_options),
        read_letters=_sorted_counts(
            verdict.extraction.answer for verdict in with_options if verdict.extraction.status == "parsed"
        ),
    )


def _sorted_counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
