"""`pack`: lengths in, plan out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.algorithm import Algorithm, Overlong
from oqvl_pack.best_fit import best_fit_decreasing
from oqvl_pack.bounds import lower_bounds
from oqvl_pack.emission import count_sizes, sort_by_length
from oqvl_pack.exact_fill import MAX_CAPACITY, exact_fill
from oqvl_pack.first_fit import first_fit_decreasing, next_fit_starts
from oqvl_pack.histogram import Histogram
from oqvl_pack.placement import Packing, Runs
from oqvl_pack.plan import Plan
from oqvl_shards.errors import ConfigError, DataError

_MAX_FIRST_FIT_SIZES = 4096  # distinct lengths up to which "best" tries first-fit decreasing, quadratic in them


def pack(
    lengths: Sequence[int] | NDArray[np.integer],
    capacity: int,
    *,
    algorithm: Algorithm = "best",
    max_items: int = 0,
    overlong: Overlong = "error",
) -> Plan:
    """Put items of the given lengths into as few bins of `capacity` as possible.

    The result depends on the arguments alone: not on the machine, its number of threads, nor on numba being there.

    Args:
        lengths: [N], positive integers in any unit: a list, an array or memmap of any integer type.
        capacity: What a bin holds at most, in the same unit.
        algorithm: `"bfd"` and `"ffd"` are best-fit and first-fit decreasing, bin for bin what the item-wise algorithms
            give; `"exact_fill"` fills one bin after another to the brim; `"next_fit"` keeps the given order; `"best"`
            tries best-fit decreasing, exact fill and (up to 4096 distinct lengths) first-fit decreasing until one
            meets the lower bound, and keeps the one with the fewest bins.
        max_items: Items a bin holds at most; 0 for any number. Not for `"exact_fill"`, which `"best"` then leaves out.
        overlong: Whether an item longer than `capacity` is an error or is left out (and listed in `Plan.dropped`).

    Raises:
        ConfigError: When `capacity`, `algorithm`, `max_items` or `overlong` is not one of the values above.
        DataError: When a length is not a positive integer or, by default, above the capacity; the item is named.
    """
    _check_arguments(capacity, algorithm, max_items, overlong)
    items = _as_array(lengths)
    dropped = np.flatnonzero(items > capacity) if items.max(initial=0) > capacity else np.zeros(0, dtype=np.int64)
    if len(dropped) and overlong == "error":
        raise DataError(
            f"item {dropped[0]} has length {items[dropped[0]]}, a bin holds {capacity} "
            f"({len(dropped)} such items of {len(items)})",
            hint="raise the capacity, shorten the item, or pass overlong='drop'",
        )
    kept = np.delete(np.arange(len(items)), dropped) if len(dropped) else None
    items = items if kept is None else items[kept]
    longest = int(items.max(initial=0))
    items = items.astype(_narrow_type(longest), copy=False)
    if algorithm == "next_fit":
        histogram = count_sizes(items, longest)
        order = np.arange(len(items), dtype=np.uint32 if len(items) <= 1 << 32 else np.uint64)
        runs = Runs.from_consecutive_items(next_fit_starts(items, capacity, max_items), items)
    else:
        histogram, order = sort_by_length(items, longest)
        algorithm, packing = _search(histogram, capacity, algorithm, max_items)
        runs = Runs.from_packing(packing, histogram)
    if kept is not None:
        order = kept.astype(np.uint32 if len(kept) + len(dropped) <= 1 << 32 else np.uint64)[order]
    return Plan(
        capacity=capacity,
        algorithm=algorithm,
        lower_bounds=lower_bounds(histogram, capacity, max_items),
        order=order,
        runs=runs,
        dropped=dropped,
    )


def _search(histogram: Histogram, capacity: int, algorithm: Algorithm, max_items: int) -> tuple[Algorithm, Packing]:
    candidates: dict[Algorithm, Packing] = {}
    for name in ("bfd", "exact_fill", "ffd"):
        if algorithm not in (name, "best"):
            continue
        if name == "bfd":
            candidates[name] = best_fit_decreasing(histogram, capacity, max_items)
        elif name == "ffd" and (algorithm == name or len(histogram.sizes) <= _MAX_FIRST_FIT_SIZES):
            candidates[name] = first_fit_decreasing(histogram, capacity, max_items)
        elif name == "exact_fill" and (algorithm == name or (not max_items and capacity <= MAX_CAPACITY)):
            candidates[name] = exact_fill(histogram, capacity)
        if name in candidates and candidates[name].num_bins == lower_bounds(histogram, capacity, max_items).best:
            break
    return min(candidates.items(), key=lambda candidate: candidate[1].num_bins)


def _check_arguments(capacity: int, algorithm: str, max_items: int, overlong: str) -> None:
    if capacity < 1:
        raise ConfigError(f"capacity is {capacity}, expected at least 1")
    if algorithm not in get_args(Algorithm):
        raise ConfigError(f"algorithm is {algorithm!r}, expected one of {', '.join(get_args(Algorithm))}")
    if overlong not in get_args(Overlong):
        raise ConfigError(f"overlong is {overlong!r}, expected one of {', '.join(get_args(Overlong))}")
    if max_items < 0:
        raise ConfigError(f"max_items is {max_items}, expected 0 or more")
    if algorithm == "exact_fill" and (max_items or capacity > MAX_CAPACITY):
        raise ConfigError(
            f"exact_fill packs without max_items and with a capacity up to {MAX_CAPACITY}; "
            f"found max_items={max_items}, capacity={capacity}",
            hint="use algorithm='best'",
        )


def _as_array(lengths: Sequence[int] | NDArray[np.integer]) -> NDArray[np.integer]:
    items = np.asarray(lengths)
    if items.ndim != 1:
        raise DataError(f"lengths have shape {items.shape}, expected one dimension")
    if not len(items):
        return np.zeros(0, dtype=np.int64)
    if not np.issubdtype(items.dtype, np.integer):
        raise DataError(f"lengths are of type {items.dtype}, expected integers up to 64 bits")
    if items.min() < 1:
        first = int(np.argmax(items < 1))
        raise DataError(f"item {first} has length {items[first]}, expected at least 1")
    return items


def _narrow_type(longest: int) -> type[np.unsignedinteger]:
    return np.uint16 if longest < 1 << 16 else np.uint32 if longest < 1 << 32 else np.uint64
