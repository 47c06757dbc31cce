"""How far scorers agree: histograms of their columns, rank correlation, and overlap of what each would keep.

N samples. A missing value is NaN, and two columns are compared over the samples that have a value in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

NUM_BINS = 40


@dataclass(frozen=True)
class Histogram:
    """Counts of a column's values in bins of equal width.

    Args:
        edges: Ascending bounds, one more than bins; values beyond the outer bounds are counted in the outer bins.
        counts: Number of samples with a value.
        marked: Number of them that are marked, for instance selected.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    marked: tuple[int, ...]


def histogram(values_N: Values, marked_N: Mask) -> Histogram | None:
    """Return the histogram of a column; None if no sample has a value.

    The outer bounds are the 0.5th and 99.5th percentiles, so that one extreme value does not flatten the rest.
    """
    known_N = np.isfinite(values_N)
    if not known_N.any():
        return None
    low, high = np.percentile(values_N[known_N], [0.5, 99.5])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, NUM_BINS + 1)

    def count(mask_N: Mask) -> tuple[int, ...]:
        return tuple(np.histogram(np.clip(values_N[mask_N], low, high), edges)[0].tolist())

    return Histogram(tuple(edges.tolist()), count(known_N), count(known_N & marked_N))


def rank_correlation(one_N: Values, other_N: Values) -> float | None:
    """Return Spearman's rank correlation, with the mean rank for equal values; None if a column is constant.

    Every scorer has a scale of its own, so only orders can be compared.
    """
    both_N = np.isfinite(one_N) & np.isfinite(other_N)
    first, second = mean_ranks(one_N[both_N]), mean_ranks(other_N[both_N])
    first, second = first - first.mean() if len(first) else first, second - second.mean() if len(second) else second
    scale = float(np.sqrt(np.square(first).sum() * np.square(second).sum()))
    return float(first @ second) / scale if scale else None


def mean_ranks(values_N: Values) -> Values:
    """Return the rank [N] of every value, from 0; equal values get the mean of their ranks."""
    _, places_N, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[places_N]


def top_overlap(one_N: Values, other_N: Values, fraction: float) -> float | None:
    """Return the share of one column's best samples that are among the other column's best; None without samples.

    Unrelated columns have a share of `fraction`. Equal values are taken in the order of the samples.

    Args:
        one_N: A column.
        other_N: Another column.
        fraction: Fraction of the samples with both values that counts as best.
    """
    both = np.flatnonzero(np.isfinite(one_N) & np.isfinite(other_N))
    num_best = int(fraction * len(both))
    if not num_best:
        return None
    best, others_best = (np.argsort(-column[both], kind="stable")[:num_best] for column in (one_N, other_N))
    return len(np.intersect1d(best, others_best)) / num_best


def decile_of(values_N: Values) -> NDArray[np.int64]:
    """Return the decile [N] of every value, 0 (lowest tenth) to 9; -1 without a value.

    The sizes of the tenths differ by at most one sample; equal values are split in the order of the samples.
    """
    deciles_N = np.full(len(values_N), -1, dtype=np.int64)
    known = np.flatnonzero(np.isfinite(values_N))
    order = known[np.argsort(values_N[known], kind="stable")]
    deciles_N[order] = np.arange(len(order)) * 10 // max(len(order), 1)
    return deciles_N
