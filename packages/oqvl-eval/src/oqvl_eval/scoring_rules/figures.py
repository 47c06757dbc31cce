"""Aggregators: what is reported of the verdicts of a task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from oqvl_eval.profiles import mmmu_rules
from oqvl_eval.profiles.markers import Credit
from oqvl_eval.profiles.ngram_match import NgramMatch
from oqvl_eval.profiles.rotation import Rotation
from oqvl_eval.profiles.yes_no_counts import YesNoCounts
from oqvl_eval.scoring_rules.arguments import rotation_of, subject
from oqvl_eval.scoring_rules.task_rules import Aggregator, Figures, Verdict

SPLIT_FIGURES = ("accuracy", "precision", "recall", "f1", "yes_ratio")
"""What is reported of yes-or-no answers."""


def mean_credit(verdicts: Sequence[Verdict]) -> float:
    """Return the mean credit of all items."""
    return math.fsum(verdict.credit for verdict in verdicts) / len(verdicts)


def accuracy(verdicts: Sequence[Verdict]) -> Figures:
    """Report the mean credit of all items."""
    return Figures("accuracy", {"accuracy": mean_credit(verdicts)})


def mean_over_categories(verdicts: Sequence[Verdict]) -> Figures:
    """Report the mean over the categories, each counted once, and each of them."""
    means = {category: mean_credit(group) for category, group in by_category(verdicts).items()}
    return Figures("mean", {**means, "mean": math.fsum(means.values()) / len(means)})


def by_category(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    """Group verdicts by the category of their items, in the order of the items."""
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(verdict.item.category, []).append(verdict)
    return groups


def credits_by(verdicts: Iterable[Verdict], name_of: Callable[[Verdict], str]) -> dict[str, list[float]]:
    """Group credits by a name, in the order of the items."""
    groups: dict[str, list[float]] = {}
    for verdict in verdicts:
        groups.setdefault(name_of(verdict), []).append(verdict.credit)
    return groups


def circular_by_cluster(verdicts: Sequence[Verdict]) -> Figures:
    """Report the share of clusters in which every item is right (CircularEval), and the mean over items."""
    is_right: dict[str, bool] = {}
    for verdict in verdicts:
        cluster = verdict.item.cluster_id
        is_right[cluster] = is_right.get(cluster, True) and verdict.is_correct
    return Figures("circular", {"circular": sum(is_right.values()) / len(is_right), "vanilla": mean_credit(verdicts)})


def circular(question_credits: Callable[[Sequence[Rotation]], Mapping[int, Credit]]) -> Aggregator:
    """Return an aggregator of MMBench that lets a harness score the rotations of each question.

    It reports `circular`, the mean over questions, `vanilla`, the mean over rows, and `judge`, the share of questions
    that need a judge model; these count as wrong. A question without its unrotated row does not count.
    """

    def aggregate(verdicts: Sequence[Verdict]) -> Figures:
        credits = question_credits([rotation_of(verdict.item, verdict.output) for verdict in verdicts])
        decided = [credit for credit in credits.values() if isinstance(credit, float)]
        values: dict[str, float | None] = {
            "circular": sum(decided) / len(credits) if credits else None,
            "vanilla": mean_credit(verdicts),
            "judge": (len(credits) - len(decided)) / len(credits) if credits else None,
        }
        return Figures("circular", values)

    return aggregate


def yes_no_by_split(verdicts: Sequence[Verdict]) -> Figures:
    """Report the figures of each split, and of all items; `f1` is the mean of the splits.

    An answer without a reading is neither yes nor no: it lowers accuracy, and recall if the right answer is yes.
    """
    splits = {category: _yes_no(group) for category, group in by_category(verdicts).items()}
    return Figures("f1", {**_yes_no(verdicts), "f1": mean_of_splits(splits, "f1"), **per_split(splits)})


def per_split(splits: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the figures of all splits under names such as `random f1`, undefined ones as None."""
    return {
        f"{split} {name}".strip(): finite(value) for split, figures in splits.items() for name, value in figures.items()
    }


def mean_of_splits(splits: Mapping[str, Mapping[str, float | None]], name: str) -> float | None:
    """Return the mean of one figure over the splits; None if it is undefined in one of them."""
    values = [finite(figures[name]) for figures in splits.values()]
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if len(defined) == len(values) else None


def finite(value: float | None) -> float | None:
    """Return a figure, or None if it is not a number."""
    return None if value is None or math.isnan(value) else value


def _yes_no(verdicts: Sequence[Verdict]) -> dict[str, float | None]:
    said = [(verdict.reading.answer == "yes", verdict.item.answer == "yes") for verdict in verdicts]
    counts = YesNoCounts.of(said)
    return {
        "accuracy": mean_credit(verdicts),
        "precision": counts.precision(undefined=0.0),
        "recall": counts.recall(undefined=0.0),
        "f1": counts.f1(undefined=0.0),
        "yes_ratio": sum(is_yes for is_yes, _ in said) / len(said),
    }


def mmmu(summarize: Callable[[Mapping[str, Sequence[float]]], Mapping[str, float]]) -> Aggregator:
    """Return an aggregator of MMMU that lets a harness sum up the credits of each subject.

    If no item has one of the thirty subjects, only the mean is reported.
    """
    known = {name for subjects in mmmu_rules.DOMAINS.values() for name in subjects}

    def aggregate(verdicts: Sequence[Verdict]) -> Figures:
        credits = credits_by(verdicts, lambda verdict: subject(verdict.item))
        if known.isdisjoint(credits):
            return Figures("Overall", {"Overall": mean_credit(verdicts)})
        return Figures("Overall", summarize(credits))

    return aggregate


def ngram_matches(match: Callable[[Verdict], Sequence[NgramMatch]]) -> Aggregator:
    """Return an aggregator of VCR: the shares of covered texts that match exactly, and their mean Jaccard index.

    Args:
        match: Compares an answer with the covered texts of its picture.
    """

    def aggregate(verdicts: Sequence[Verdict]) -> Figures:
        matches = [found for verdict in verdicts for found in match(verdict)]
        return Figures(
            "exact_match",
            {
                "exact_match": math.fsum(found.exact_match for found in matches) / len(matches),
                "jaccard": math.fsum(found.jaccard for found in matches) / len(matches),
            },
        )

    return aggregate
