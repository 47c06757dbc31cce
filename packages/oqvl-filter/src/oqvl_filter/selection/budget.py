"""Keep a given number of pairs or tokens: the best ones first, divided among sources.

Samples are ordered by descending value of a column. Equal values, and all samples if there is no column, are ordered by
the hash of the uid; samples without a value come last. The longest prefix of that order that fits is kept, so the
choice depends only on uids, values and seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.uid_array import hash_uids
from oqvl_shards.errors import ConfigError

Number = TypeVar("Number", int, float)

OVER_QUOTA = "over its source's quota"
OVER_BUDGET = "over the budget"


def best_first(uids_N: NDArray[np.void], values_N: NDArray[np.number] | None, seed: int) -> NDArray[np.int64]:
    """Return the rows [N] in the order in which a budget takes them.

    Args:
        uids_N: Of dtype `UID_DTYPE`.
        values_N: Higher is better, NaN comes last. None: the hash alone decides.
        seed: Seed of the hash.
    """
    keys = [uids_N["f1"], uids_N["f0"], hash_uids(uids_N, seed)]
    if values_N is not None:
        keys.append(-values_N.astype(np.float64))  # numpy sorts NaN last
    return np.lexsort(keys)


def first_of_each(
    order: NDArray[np.int64], source_codes_N: NDArray[np.integer], limits: Sequence[int | None]
) -> NDArray[np.int64]:
    """Return `order` with at most the first `limits[s]` rows of each source s (None: no limit)."""
    kept = np.ones(len(order), dtype=bool)
    codes = source_codes_N[order]
    for code, limit in enumerate(limits):
        if limit is not None:
            kept[np.flatnonzero(codes == code)[limit:]] = False
    return order[kept]


def fit_budget(
    order: NDArray[np.int64],
    source_codes_N: NDArray[np.integer],
    costs_N: NDArray[np.int64],
    budget: int,
    weights: Sequence[float] | None,
) -> NDArray[np.int64]:
    """Return the rows of `order` that fit into `budget`.

    With weights, every source has a budget of its own: its share, plus its share of what other sources cannot use.

    Args:
        order: Rows, best first.
        source_codes_N: [N] index of every row's source.
        costs_N: [N] what each row takes from the budget: 1 for a pair, or its tokens.
        budget: The total.
        weights: Weight of each source; None: all sources share one order.
    """
    if weights is None:
        return order[np.cumsum(costs_N[order]) <= budget]
    codes, costs = source_codes_N[order], costs_N[order]
    demands = [int(costs[codes == code].sum()) for code in range(len(weights))]
    kept = np.zeros(len(order), dtype=bool)
    for code, share in enumerate(divide(budget, demands, weights)):
        rows = np.flatnonzero(codes == code)
        kept[rows[np.cumsum(costs[rows]) <= share]] = True
    return order[kept]


def divide(budget: int, demands: Sequence[int], weights: Sequence[float]) -> list[int]:
    """Divide `budget` in proportion to `weights`; what a source does not need is divided among the others.

    Shares are whole. They add up to the budget, or to the demands of all sources with a weight if these are smaller.
    The units that rounding down leaves go to the largest remainders, to earlier sources first.

    Args:
        budget: What is divided.
        demands: The most that each source can use.
        weights: Weight of each source, from 0 up.
    """
    exact = [Fraction(weight) for weight in weights]
    shares = [0] * len(demands)
    open_ = [index for index, weight in enumerate(exact) if weight > 0]
    left = budget
    # Each round settles the sources that need no more than their share; the last round divides the rest.
    while open_:
        total = sum(exact[index] for index in open_)
        sated = [index for index in open_ if demands[index] <= left * exact[index] / total]
        if not sated:
            parts = {index: left * exact[index] / total for index in open_}
            for index, part in parts.items():
                shares[index] = int(part)
            rest = left - sum(int(part) for part in parts.values())
            for index in sorted(open_, key=lambda index: int(parts[index]) - parts[index])[:rest]:
                shares[index] += 1
            break
        for index in sated:
            shares[index] = demands[index]
            left -= demands[index]
        open_ = [index for index in open_ if index not in sated]
    return shares


def by_source(name: str, values: Mapping[str, Number], sources: Sequence[str]) -> list[Number | None]:
    """Return the values of a table of the configuration in the order of `sources`; None for sources that it lacks.

    Args:
        name: The table's name, for errors.
        values: The table, by source.
        sources: Names of the sources.

    Raises:
        ConfigError: If it names a source that does not exist.
    """
    unknown = sorted(values.keys() - set(sources))
    if unknown:
        raise ConfigError(f"{name} names {unknown}, expected sources among {list(sources)}")
    return [values.get(source) for source in sources]
