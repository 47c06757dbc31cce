"""Compare two runs on the same items: pair their predictions, count agreement, and bound the difference.

Several profiles that judge the same answers are compared here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oqvl_eval.config import JudgingConfig
from oqvl_eval.intervals import Interval, cluster_bootstrap
from oqvl_eval.predictions import Prediction
from oqvl_eval.scoring_rules.task_rules import Verdict
from oqvl_shards.errors import DataError


@dataclass(frozen=True)
class Discordance:
    """The 2 x 2 table of two systems on the same items.

    Args:
        both_correct: Number of items that both systems answered correctly.
        only_a: Number of items that only A answered correctly.
        only_b: Number of items that only B answered correctly.
        both_wrong: Number of items that neither answered correctly.
    """

    both_correct: int
    only_a: int
    only_b: int
    both_wrong: int


def paired(a: Sequence[Prediction], b: Sequence[Prediction]) -> list[tuple[Prediction, Prediction]]:
    """Pair the predictions of two runs by item, in A's order.

    Raises:
        DataError: If the two runs did not answer the same items, or an item's options, answer or cluster differ.
    """
    b_by_id = {prediction.item.item_id: prediction for prediction in b}
    only_a = [prediction.item.item_id for prediction in a if prediction.item.item_id not in b_by_id]
    only_b = sorted(b_by_id.keys() - {prediction.item.item_id for prediction in a})
    if only_a or only_b:
        raise DataError(
            f"the two runs answered different items: {len(only_a)} only in A {only_a[:3]}, "
            f"{len(only_b)} only in B {only_b[:3]}",
            hint="evaluate both on the same benchmark with the same limit",
        )
    pairs = [(prediction, b_by_id[prediction.item.item_id]) for prediction in a]
    differing = [first.item.item_id for first, second in pairs if first.item != second.item]
    if differing:
        raise DataError(
            f"{len(differing)} items have different options, answers or clusters in B; the first is {differing[0]!r}",
            hint="evaluate both on the same version of the benchmark",
        )
    return pairs


def has_partial_credit(verdicts: Sequence[tuple[Verdict, Verdict]]) -> bool:
    """Return whether an answer is neither right nor wrong, so that counts of right answers do not say it all."""
    return any(verdict.credit not in (0, 1) for pair in verdicts for verdict in pair)


def discordance(verdicts: Sequence[tuple[Verdict, Verdict]]) -> Discordance:
    """Count the items by which of the two systems answered them with full credit."""
    outcomes = [(a.is_correct, b.is_correct) for a, b in verdicts]
    return Discordance(
        both_correct=outcomes.count((True, True)),
        only_a=outcomes.count((True, False)),
        only_b=outcomes.count((False, True)),
        both_wrong=outcomes.count((False, False)),
    )


def disagree(verdicts: Sequence[Verdict]) -> bool:
    """Return whether several profiles give different credits to one answer, or not all of them need a judge."""
    return len({(verdict.credit, verdict.needs_judge) for verdict in verdicts}) > 1


def difference_interval(verdicts: Sequence[tuple[Verdict, Verdict]], config: JudgingConfig) -> Interval:
    """Return the cluster bootstrap interval of B's mean credit minus A's. A cluster's items stay paired."""
    return cluster_bootstrap(
        ((a.item.cluster_id, b.credit - a.credit) for a, b in verdicts),
        num_resamples=config.num_resamples,
        seed=config.seed,
        confidence=config.confidence,
    )
