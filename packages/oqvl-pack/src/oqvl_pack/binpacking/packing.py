"""`pack`: lengths in, plan out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import SupportsIndex, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oqvl_pack.binpacking.algorithm import Algorithm, Overlong
from oqvl_pack.binpacking.arguments import MAX_TOTAL, whole_number
from oqvl_pack.binpacking.bounds import lower_bounds
from oqvl_pack.binpacking.counting_sort import count_sizes, sort_by_length
from oqvl_pack.binpacking.exact_fill import MAX_CAPACITY
from oqvl_pack.binpacking.first_fit import next_fit_starts
from oqvl_pack.binpacking.histogram import Histogram
from oqvl_pack.binpacking.placement import Runs
from oqvl_pack.binpacking.plan import Plan
from oqvl_pack.binpacking.portfolio import search
from oqvl_pack.binpacking.splitting import Pieces
from oqvl_shards.errors import ConfigError, DataError


def pack(
    lengths: Sequence[int] | NDArray[np.integer],
    capacity: SupportsIndex,
    *,
    weights: Sequence[int] | NDArray[np.integer] | None = None,
    weight_capacity: SupportsIndex = 0,
    algorithm: Algorithm = "best",
    max_items: SupportsIndex = 0,
    overlong: Overlong = "error",
    units: Callable[[int], ArrayLike] | None = None,
) -> Plan:
    """Put items of the given lengths into as few bins of `capacity` as possible.

    The result depends on the arguments alone: not on the machine, its number of threads, nor on numba being there.

    Args:
        lengths: [N], positive integers in any unit: a list, an array or memmap of any integer type.
        capacity: What a bin holds at most, in the same unit.
        weights: [N], integers from 0 on: a second constraint, such as the images of each item.
        weight_capacity: Weight that a bin holds at most; goes with `weights`.
        algorithm: `"bfd"` and `"ffd"` are best-fit and first-fit decreasing, bin for bin what the item-wise algorithms
            give; `"exact_fill"` fills one bin after another to the brim; `"next_fit"` keeps the given order; `"best"`
            tries best-fit decreasing, exact fill and (up to 4096 distinct lengths) first-fit decreasing until one
            meets the lower bound, and keeps the one with the fewest bins. With weights, `"ffd"` goes by descending
            length, then weight, and `"best"` tries that, exact fill, and (up to 4096 types) `"ffd"` by the larger and
            by the sum of the two shares; there is no `"bfd"`.
        max_items: Items a bin holds at most; 0 for any number. Not for `"exact_fill"`, which `"best"` then leaves out.
        overlong: Whether an item longer than `capacity` (or heavier than `weight_capacity`) is an error, is left out
            (and listed in `Plan.dropped`), or is split into pieces as long as a bin and a last one (see
            `Plan.pieces`).
        units: Needed to split items with weights, called for those that are too long or too heavy: gives what of item
            i carries its weight and must stay in one piece, such as the visual tokens of its images, as [U, 3]
            integers: start, stop, weight. They are in order, and add up to the item's weight.

    Raises:
        ConfigError: When an argument is not one of the values above, or does not go with another.
        DataError: When a length is not a positive integer, a weight is negative or, by default, one of them is above
            the capacity, or when units do not fit into their item or into a bin; the item is named. Also when lengths
            or weights add up to 2^62 or more.
    """
    capacity, max_items = whole_number("capacity", capacity, 1), whole_number("max_items", max_items, 0)
    weight_capacity = whole_number("weight_capacity", weight_capacity, 0)
    _check_arguments(capacity, algorithm, max_items, overlong)
    _check_weighting(weights is not None, weight_capacity, algorithm)
    if (units is not None) != (weights is not None and overlong == "split"):
        raise _units_error(has_units=units is not None)
    items = _as_array(lengths, "length", 1)
    of_item = None if weights is None else _as_array(weights, "weight", 0)
    if of_item is not None and len(of_item) != len(items):
        raise DataError(f"found {len(of_item)} weights of {len(items)} lengths, expected one each")
    pieces = None
    if of_item is not None and units is not None:
        pieces, of_item = Pieces.of_weighted(items, of_item, capacity, weight_capacity, units)
    elif overlong == "split":
        pieces = Pieces.of(items, capacity)
    items = items if pieces is None else pieces.piece_lengths
    dropped = _overlong_items(items, capacity, of_item, weight_capacity)
    kept = None
    if len(dropped):
        if overlong == "error":
            raise _overlong_error(items, capacity, of_item, weight_capacity, dropped)
        kept = np.delete(np.arange(len(items), dtype=_id_type(len(items))), dropped)
        items, of_item = items[kept], None if of_item is None else of_item[kept]
    items = items.astype(_narrow_type(int(items.max(initial=0))), copy=False)
    histogram, order = _count(items, of_item, keep_order=algorithm == "next_fit")
    _check_totals(histogram)
    bounds = lower_bounds(histogram, capacity, max_items, weight_capacity)
    if algorithm == "next_fit":
        starts = next_fit_starts(items, capacity, max_items, of_item, weight_capacity)
        runs = Runs.from_consecutive_items(starts, items, of_item)
    else:
        algorithm, packing = search(histogram, capacity, algorithm, max_items, weight_capacity, bounds.best)
        runs = Runs.from_packing(packing, histogram)
    return Plan(
        capacity=capacity,
        algorithm=algorithm,
        lower_bounds=bounds,
        order=order if kept is None else kept[order],
        runs=runs,
        dropped=dropped,
        weight_capacity=weight_capacity,
        pieces=pieces,
    )


def _count(
    items: NDArray[np.unsignedinteger], weights: NDArray[np.integer] | None, *, keep_order: bool
) -> tuple[Histogram, NDArray[np.unsignedinteger]]:
    """Return the histogram, and the item ids by length (and weight), or as they came if `keep_order`.

    Items of two constraints are counted and sorted by one key: the length times the number of weights, and the weight.
    """
    keys, weight_values = items, None
    num_weights = 1
    if weights is not None:
        num_weights = int(weights.max(initial=0)) + 1
        if (int(items.max(initial=0)) + 1) * num_weights >= 1 << 62:
            weight_values, weights = np.unique(weights, return_inverse=True)
            num_weights = len(weight_values)
        keys = items.astype(np.int64) * num_weights + weights.astype(np.int64)
        keys = keys.astype(_narrow_type(int(keys.max(initial=0))))
    largest = int(keys.max(initial=0))
    if keep_order:
        histogram, order = count_sizes(keys, largest), np.arange(len(items), dtype=_id_type(len(items)))
    else:
        histogram, order = sort_by_length(keys, largest)
    if weights is None:
        return histogram, order
    of_type = histogram.sizes % num_weights
    of_type = of_type if weight_values is None else weight_values[of_type].astype(np.int64)
    return Histogram(histogram.sizes // num_weights, histogram.counts, of_type), order


def _overlong_items(
    items: NDArray[np.integer], capacity: int, weights: NDArray[np.integer] | None, weight_capacity: int
) -> NDArray[np.int64]:
    """Return the ids of the items that no bin holds."""
    is_overlong = np.zeros(0, dtype=bool)
    if items.max(initial=0) > capacity:
        is_overlong = items > capacity
    if weights is not None and weights.max(initial=0) > weight_capacity:
        is_overlong = (items > capacity) | (weights > weight_capacity)
    return np.flatnonzero(is_overlong)


def _overlong_error(
    items: NDArray[np.integer],
    capacity: int,
    weights: NDArray[np.integer] | None,
    weight_capacity: int,
    dropped: NDArray[np.int64],
) -> DataError:
    first = int(dropped[0])
    if items[first] > capacity or weights is None:
        found = f"item {first} has length {items[first]}, a bin holds {capacity}"
    else:
        found = f"item {first} has weight {weights[first]}, a bin holds {weight_capacity}"
    return DataError(
        f"{found} ({len(dropped)} such items of {len(items)})",
        hint="raise the capacity, shorten the item, or pass overlong='drop' or overlong='split'",
    )


def _check_arguments(capacity: int, algorithm: str, max_items: int, overlong: str) -> None:
    if algorithm not in get_args(Algorithm):
        raise ConfigError(f"algorithm is {algorithm!r}, expected one of {', '.join(get_args(Algorithm))}")
    if overlong not in get_args(Overlong):
        raise ConfigError(f"overlong is {overlong!r}, expected one of {', '.join(get_args(Overlong))}")
    if algorithm == "exact_fill" and (max_items or capacity > MAX_CAPACITY):
        raise ConfigError(
            f"exact_fill packs without max_items and with a capacity up to {MAX_CAPACITY}; "
            f"found max_items={max_items}, capacity={capacity}",
            hint="use algorithm='best'",
        )


def _check_weighting(has_weights: bool, weight_capacity: int, algorithm: str) -> None:
    if weight_capacity < has_weights or (weight_capacity and not has_weights):
        found = f"weight_capacity is {weight_capacity} {'with' if has_weights else 'without'} weights"
        raise ConfigError(f"{found}, expected at least 1 with weights, and 0 without")
    if has_weights and algorithm == "bfd":
        raise ConfigError("algorithm is 'bfd', expected another with weights", hint="use algorithm='best'")


def _check_totals(histogram: Histogram) -> None:
    for noun, sizes in (("length", histogram.sizes), ("weight", histogram.weights)):
        if sizes is not None and sizes.astype(np.float64) @ histogram.counts >= MAX_TOTAL:
            raise DataError(f"the {noun}s add up to {MAX_TOTAL} or more", hint="count them in a larger unit")


def _units_error(*, has_units: bool) -> ConfigError:
    if has_units:
        return ConfigError("found units, which go with weights and overlong='split'", hint="leave them out")
    return ConfigError(
        "overlong is 'split' with weights, but the weight of a piece is not known",
        hint="pass units, a function that says which parts of an item carry its weight",
    )


def _as_array(values: Sequence[int] | NDArray[np.integer], noun: str, least: int) -> NDArray[np.integer]:
    try:
        items = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{noun}s are no list of integers: {error}") from error
    if items.ndim != 1:
        raise DataError(f"{noun}s have shape {items.shape}, expected one dimension")
    if not len(items):
        return np.zeros(0, dtype=np.int64)
    if not np.issubdtype(items.dtype, np.integer):
        raise DataError(f"{noun}s are of type {items.dtype}, expected integers up to 64 bits")
    if items.dtype == np.uint64 and items.max() >= MAX_TOTAL:
        first = int(np.argmax(items >= MAX_TOTAL))
        raise DataError(f"item {first} has {noun} {items[first]}, expected less than {MAX_TOTAL}")
    if items.min() < least:
        first = int(np.argmax(items < least))
        raise DataError(f"item {first} has {noun} {items[first]}, expected at least {least}")
    return items


def _id_type(num_items: int) -> type[np.unsignedinteger]:
    return np.uint32 if num_items <= 1 << 32 else np.uint64


def _narrow_type(longest: int) -> type[np.unsignedinteger]:
    return np.uint16 if longest < 1 << 16 else np.uint32 if longest < 1 << 32 else np.uint64
