"""Confidence intervals of an accuracy, and of the difference of two.

Wilson's score interval treats items as independent. Where items come in clusters (one question's rotations, several
questions about one picture) the cluster bootstrap resamples whole clusters instead.
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


def wilson_interval(num_correct: int, num_items: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion (E. B. Wilson, JASA 22, 1927), without continuity correction.

    Args:
        num_correct: Successes.
        num_items: Trials, at least one.
        confidence: Coverage, e.g. 0.95.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p, n = num_correct / num_items, num_items
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the ends the bound is 0 or 1 exactly; rounding would leave 1e-17.
    low = 0.0 if num_correct == 0 else max(0.0, centre - half)
    high = 1.0 if num_correct == num_items else min(1.0, centre + half)
    return Interval(low=low, high=high)


def cluster_bootstrap(
    values: Iterable[tuple[Hashable, float]], *, num_resamples: int, seed: int, confidence: float = 0.95
) -> Interval:
    """Return the percentile interval of the mean of `values` when whole clusters are drawn with replacement.

    Args:
        values: (cluster, value of one item) pairs, e.g. 1.0 for a right answer, or the difference of two systems.
        num_resamples: Resamples drawn.
        seed: Seed of numpy's default generator.
        confidence: Coverage, e.g. 0.95.

    A resample's mean depends only on how often each (sum, size) of a cluster was drawn, so the clusters are counted by
    it and one multinomial draw makes a resample: the same distribution as drawing clusters, at a fraction of the work.
    """
    sums: dict[Hashable, float] = {}
    sizes: Counter[Hashable] = Counter()
    for cluster, value in values:
        sums[cluster] = sums.get(cluster, 0.0) + value
        sizes[cluster] += 1
    types = Counter((sums[cluster], sizes[cluster]) for cluster in sums)
    ordered = sorted(types)
    counts = np.array([types[kind] for kind in ordered])
    sum_of_type, size_of_type = np.array(ordered, dtype=np.float64).T
    draws = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=num_resamples)
    means = (draws @ sum_of_type) / (draws @ size_of_type)
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(low=float(low), high=float(high))
