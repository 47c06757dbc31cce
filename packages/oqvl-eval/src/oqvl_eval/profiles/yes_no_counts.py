"""Counts of yes and no answers, and the figures that POPE reports from them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class YesNoCounts:
    """How often an answer and its gold were yes or no; yes is the positive class.

    Args:
        true_positives: Both are yes.
        false_positives: The answer is yes, the gold no.
        true_negatives: Both are no.
        false_negatives: The answer is no, the gold yes.
    """

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> YesNoCounts:
        """Count pairs of (the answer is yes, the gold is yes)."""
        pairs = list(pairs)
        return cls(
            true_positives=pairs.count((True, True)),
            false_positives=pairs.count((True, False)),
            true_negatives=pairs.count((False, False)),
            false_negatives=pairs.count((False, True)),
        )

    def precision(self, undefined: float = math.nan) -> float:
        """Return the share of right answers among the yes answers; `undefined` if there are none."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives, undefined)

    def recall(self, undefined: float = math.nan) -> float:
        """Return the share of yes answers among the items whose gold is yes; `undefined` if there are none."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives, undefined)

    def f1(self, undefined: float = math.nan) -> float:
        """Return the harmonic mean of precision and recall; `undefined` if it cannot be computed."""
        return harmonic_mean(self.precision(undefined), self.recall(undefined), undefined)


def harmonic_mean(precision: float, recall: float, undefined: float) -> float:
    """Return F1; `undefined` if both figures are 0."""
    return _ratio(2 * (precision * recall), precision + recall, undefined)


def _ratio(numerator: float, denominator: float, undefined: float) -> float:
    return numerator / denominator if denominator else undefined
