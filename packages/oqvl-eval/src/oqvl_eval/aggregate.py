"""From verdicts to figures: accuracies with intervals, and counts of how the answers were read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import Field

from oqvl_eval.config import JudgingConfig
from oqvl_eval.intervals import Interval, cluster_bootstrap, wilson_interval
from oqvl_eval.scoring_rules.task_rules import Verdict
from oqvl_shards.config import Frozen


class Accuracy(Frozen):
    """How well a group of items was answered."""

    num_items: int = Field(description="number of items")
    num_correct: int = Field(description="number of answers with full credit")
    accuracy: float = Field(description="mean credit; num_correct / num_items if no answer has partial credit")
    wilson: Interval = Field(
        description="Wilson score interval of the accuracy, which treats items as independent; "
        "with partial credits, it is too wide rather than too narrow"
    )

    @classmethod
    def of(cls, credits: Iterable[float], confidence: float) -> Accuracy:
        """Average `credits`. There must be at least one.

        Args:
            credits: The credit of each answer, between 0 and 1.
            confidence: Coverage of the interval, e.g. 0.95.
        """
        values = list(credits)
        total = math.fsum(values)
        return cls(
            num_items=len(values),
            num_correct=sum(value == 1 for value in values),
            accuracy=total / len(values),
            wilson=wilson_interval(total, len(values), confidence),
        )


class ClusterAccuracy(Frozen):
    """The accuracy of items that come in clusters."""

    num_clusters: int = Field(description="number of clusters")
    bootstrap: Interval = Field(description="interval of the items' accuracy, from resampling whole clusters")
    all_correct: Accuracy = Field(description="share of clusters in which every item was answered correctly")


class YesNo(Frozen):
    """How a model answers yes-or-no questions; `yes` is the positive answer."""

    precision: float = Field(description="share of correct answers among those read as yes; 0 if there are none")
    recall: float = Field(description="share of answers read as yes among the questions whose answer is yes")
    f1: float = Field(description="harmonic mean of precision and recall")
    yes_ratio: float = Field(description="share of all answers that were read as yes")
    gold_yes_ratio: float = Field(description="share of all questions whose answer is yes")
    mean_category_f1: float = Field(description="mean of the categories' f1")


class ReadingCounts(Frozen):
    """Counts of how the answers were read."""

    read: int = Field(description="answers that say exactly one thing")
    unread: int = Field(description="answers in which no rule finds anything; they count as wrong")
    ambiguous: int = Field(description="answers that say several things, or options that tie; they count as wrong")
    refused: int = Field(description="answers that decline, or declare not to know; they count as wrong")
    no_answer: int = Field(description="blank outputs, and outputs whose reasoning never ends; they count as wrong")
    by_rule: dict[str, int] = Field(
        description="answers per rule that decided the reading, e.g. bare, answer_is, no_rule"
    )
    gold_letters: dict[str, int] = Field(description="items with options, per letter of the right option")
    read_letters: dict[str, int] = Field(description="items with options, per letter that was read")


def by_category(verdicts: Sequence[Verdict], confidence: float) -> dict[str, Accuracy]:
    """Return the accuracy of each category, sorted by name, or nothing if there are fewer than two categories."""
    credits: dict[str, list[float]] = {}
    for verdict in verdicts:
        credits.setdefault(verdict.item.category, []).append(verdict.credit)
    if len(credits) < 2:
        return {}
    return {category: Accuracy.of(credits[category], confidence) for category in sorted(credits)}


def by_cluster(verdicts: Sequence[Verdict], config: JudgingConfig) -> ClusterAccuracy | None:
    """Return the accuracy with clusters taken into account, or None if every cluster has a single item."""
    all_correct: dict[str, bool] = {}
    for verdict in verdicts:
        cluster = verdict.item.cluster_id
        all_correct[cluster] = all_correct.get(cluster, True) and verdict.is_correct
    if len(all_correct) == len(verdicts):
        return None
    bootstrap = cluster_bootstrap(
        ((verdict.item.cluster_id, verdict.credit) for verdict in verdicts),
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
    """Return precision, recall and F1 of the items with the rule `yes_no`, or None if there are none.

    An answer that could not be read does not count as `yes`. It lowers recall if the right answer is `yes`, and it
    always lowers accuracy.
    """
    yes_no_verdicts = [verdict for verdict in verdicts if verdict.item.scoring_rule == "yes_no"]
    if not yes_no_verdicts:
        return None
    categories: dict[str, list[Verdict]] = {}
    for verdict in yes_no_verdicts:
        categories.setdefault(verdict.item.category, []).append(verdict)
    precision, recall, f1 = _precision_recall_f1(yes_no_verdicts)
    num_questions = len(yes_no_verdicts)
    return YesNo(
        precision=precision,
        recall=recall,
        f1=f1,
        yes_ratio=sum(verdict.reading.answer == "yes" for verdict in yes_no_verdicts) / num_questions,
        gold_yes_ratio=sum(verdict.item.answer == "yes" for verdict in yes_no_verdicts) / num_questions,
        mean_category_f1=sum(_precision_recall_f1(group)[2] for group in categories.values()) / len(categories),
    )


def _precision_recall_f1(verdicts: Sequence[Verdict]) -> tuple[float, float, float]:
    num_read = sum(verdict.reading.answer == "yes" for verdict in verdicts)
    num_gold = sum(verdict.item.answer == "yes" for verdict in verdicts)
    num_true = sum(verdict.is_correct for verdict in verdicts if verdict.item.answer == "yes")
    precision, recall = num_true / max(num_read, 1), num_true / max(num_gold, 1)
    return precision, recall, 2 * num_true / max(num_read + num_gold, 1)


def chance_level(verdicts: Sequence[Verdict]) -> float | None:
    """Return the expected accuracy of choosing options at random, or None if no item has options.

    Open questions count as wrong.
    """
    if not any(verdict.item.choices for verdict in verdicts):
        return None
    return sum(1 / len(verdict.item.choices) for verdict in verdicts if verdict.item.choices) / len(verdicts)


def reading_counts(verdicts: Sequence[Verdict]) -> ReadingCounts:
    """Count how the answers were read."""
    status = Counter(verdict.reading.status for verdict in verdicts)
    with_options = [verdict for verdict in verdicts if verdict.item.scoring_rule == "multiple_choice"]
    return ReadingCounts(
        read=status["read"],
        unread=status["unread"],
        ambiguous=status["ambiguous"],
        refused=status["refused"],
        no_answer=status["no_answer"],
        by_rule=_sorted_counts(verdict.reading.rule for verdict in verdicts),
        gold_letters=_sorted_counts(verdict.item.answer for verdict in with_options),
        read_letters=_sorted_counts(
            verdict.reading.answer for verdict in with_options if verdict.reading.status == "read"
        ),
    )


def _sorted_counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
