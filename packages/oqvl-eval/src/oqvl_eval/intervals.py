"""Confidence intervals of an accuracy, and of the difference of two accuracies.

Wilson's score interval treats items as independent. If items come in clusters (the rotations of one question, several
questions about one picture), use the cluster bootstrap, which resamples whole clusters.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from statistics import NormalDist

import numpy as np
from pydantic import Field

from oqvl_shards.config import Frozen


class Interval(Frozen):
    """A two-sided confidence interval."""

    low: float = Field(description="lower bound")
    high: float = Field(description="upper bound")

    def __str__(self) -> str:
        return f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"


def wilson_interval(num_correct: float, num_items: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion (E. B. Wilson, JASA 22, 1927), without continuity correction.

    Args:
        num_correct: Number of successes, or the sum of credits between 0 and 1. Partial credits vary less than
            successes and failures do, so the interval is then too wide rather than too narrow.
        num_items: Number of trials, at least one.
        confidence: Coverage of the interval, e.g. 0.95.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p, n = num_correct / num_items, num_items
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the extremes, the bound is exactly 0 or 1. The formula would give something like 1e-17 because of rounding.
    low = 0.0 if num_correct == 0 else max(0.0, centre - half)
    high = 1.0 if num_correct == num_items else min(1.0, centre + half)
    return Interval(low=low, high=high)


def cluster_bootstrap(
    values: Iterable[tuple[Hashable, float]], *, num_resamples: int, seed: int, confidence: float = 0.95
) -> Interval:
    """Return the percentile interval of the mean of `values` when whole clusters are drawn with replacement.

    The mean of a resample depends only on the sum and the size of each drawn cluster. Clusters are therefore counted by
    (sum, size), and a resample is one multinomial draw over these types. This gives the same distribution as drawing
    one cluster after another, with a fraction of the work.

    Args:
        values: One (cluster, value) pair per item. The value is e.g. 1.0 for a correct answer, or the difference of two
            systems.
        num_resamples: Number of resamples.
        seed: Seed of numpy's default generator.
        confidence: Coverage of the interval, e.g. 0.95.
    """
    sums: dict[Hashable, float] = {}
    sizes: Counter[Hashable] = Counter()
    for cluster, value in values:
        sums[cluster] = sums.get(cluster, 0.0) + value
        sizes[cluster] += 1
    num_of_type = Counter((sums[cluster], sizes[cluster]) for cluster in sums)
    types = sorted(num_of_type)
    counts = np.array([num_of_type[cluster_type] for cluster_type in types])
    sum_of_type, size_of_type = np.array(types, dtype=np.float64).T
    draws = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=num_resamples)
    means = (draws @ sum_of_type) / (draws @ size_of_type)
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(low=float(low), high=float(high))
