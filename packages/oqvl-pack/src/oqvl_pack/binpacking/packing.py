"""`pack`: lengths in, plan out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn, SupportsIndex, get_args

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


@dataclass(frozen=True)
class _Limits:
    """The capacities of a bin; see `pack`.

    Args:
        capacity: Length, at least 1.
        weight_capacity: Weight; 0 without a second constraint.
        max_items: Number of items; 0 for no limit.
    """

    capacity: int
    weight_capacity: int
    max_items: int


@dataclass(frozen=True)
class _Items:
    """The items to pack. N items.

    Args:
        lengths: [N].
        weights: [N]; None without a second constraint.
        ids: [N], the caller's number of each item; None when nothing was dropped and they count from 0.
        dropped: int64, ids of the items that were left out, ascending.
        pieces: What the ids mean, if overlong items were split.
    """

    lengths: NDArray[np.integer]
    weights: NDArray[np.integer] | None
    ids: NDArray[np.unsignedinteger] | None = None
    dropped: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    pieces: Pieces | None = None


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

    The result depends on the arguments alone: not on the machine, its number of threads, or whether numba is installed.

    The cost: only one counting sort takes time in proportion to the number of items. The plan keeps 4 bytes per item.
    The search works on the histogram, so its time depends on the number of distinct lengths. `"best"` takes up to ten
    times as long as `"bfd"` to save about 1.5% of the bins on captions; a training run pays for every empty slot.

    Args:
        lengths: [N], positive integers in any unit: a list, an array or a memmap of any integer type.
        capacity: Length that a bin holds, in the same unit.
        weights: [N], integers from 0 on: a second constraint, such as the number of images of each item.
        weight_capacity: Weight that a bin holds; required with `weights`.
        algorithm: How to pack. `"bfd"` and `"ffd"` are best-fit and first-fit decreasing, bin for bin what the
            item-wise algorithms give; `"exact_fill"` fills one bin after another to the brim; `"next_fit"` keeps the
            given order. `"best"` tries best-fit decreasing, exact fill and (for up to 4096 distinct lengths) first-fit
            decreasing until one meets the lower bound, and keeps the packing with the fewest bins. With weights,
            `"ffd"` sorts by descending length, then weight; `"best"` tries it, exact fill, and (for up to 4096 types)
            `"ffd"` sorted by the larger and by the sum of the two shares; `"bfd"` is not available.
        max_items: Most items per bin; 0 for no limit. Not available for `"exact_fill"`, which `"best"` then skips.
        overlong: What to do with an item longer than `capacity` or heavier than `weight_capacity`: raise an error,
            leave it out and list it in `Plan.dropped`, or split it into pieces as long as a bin and a last one (see
            `Plan.pieces`).
        units: Required to split items with weights. It is called with the id i of each item that is too long or too
            heavy, and returns the parts of the item that carry its weight and must stay whole, such as the visual
            tokens of its images, as [U, 3] integers: start, stop, weight. They are in order, and add up to the item's
            weight.

    Raises:
        ConfigError: If an argument is not one of the values above, or contradicts another one.
        DataError: If a length is not a positive integer, a weight is negative, a length or weight is above its capacity
            (by default), or units do not fit into their item or into a bin; the message names the item. Also if lengths
            or weights add up to 2^62 or more.

    Example:
        ```python
        plan = pack([6, 5, 4, 3], capacity=10)
        assert [items.tolist() for items in plan] == [[0, 2], [1, 3]]
        assert plan.is_optimal
        ```
    """
    limits = _Limits(
        capacity=whole_number("capacity", capacity, 1),
        weight_capacity=whole_number("weight_capacity", weight_capacity, 0),
        max_items=whole_number("max_items", max_items, 0),
    )
    _check_choices(limits, algorithm, overlong)
    _check_weighting(weights is not None, limits, algorithm)
    _check_units(units is not None, weights is not None and overlong == "split")
    # Read the items, and split, drop or refuse those that no bin holds.
    items = _fitting_items(_read_items(lengths, weights), limits, overlong, units)
    # Count and sort. From here on, algorithms see sizes and counts, not single items.
    histogram, order = _count(items.lengths, items.weights, keep_order=algorithm == "next_fit")
    _check_totals(histogram)
    # Bound the number of bins, and search for a packing that meets the bound.
    bounds = lower_bounds(
        histogram, limits.capacity, max_items=limits.max_items, weight_capacity=limits.weight_capacity
    )
    algorithm, runs = _search_runs(items, histogram, limits, algorithm, lower_bound=bounds.best)
    return Plan(
        capacity=limits.capacity,
        algorithm=algorithm,
        lower_bounds=bounds,
        order=order if items.ids is None else items.ids[order],
        runs=runs,
        dropped=items.dropped,
        weight_capacity=limits.weight_capacity,
        pieces=items.pieces,
    )


def _read_items(
    lengths: Sequence[int] | NDArray[np.integer], weights: Sequence[int] | NDArray[np.integer] | None
) -> _Items:
    """Return the caller's items as arrays.

    Raises:
        DataError: If a length is not a positive integer, a weight is not an integer from 0 on, or their numbers differ.
    """
    items = _Items(
        lengths=_as_array(lengths, "length", least=1),
        weights=None if weights is None else _as_array(weights, "weight", least=0),
    )
    if items.weights is not None and len(items.weights) != len(items.lengths):
        raise DataError(f"found {len(items.weights)} weights for {len(items.lengths)} lengths, expected one per length")
    return items


def _fitting_items(
    items: _Items, limits: _Limits, overlong: Overlong, units: Callable[[int], ArrayLike] | None
) -> _Items:
    """Split, drop or refuse the items that no bin holds, and return the others in the narrowest type.

    Raises:
        DataError: If an item does not fit and `overlong` is `"error"`, or if it cannot be split.
    """
    if items.weights is not None and units is not None:
        pieces, piece_weights = Pieces.of_weighted(
            items.lengths, items.weights, limits.capacity, limits.weight_capacity, units
        )
        items = replace(items, lengths=pieces.piece_lengths, weights=piece_weights, pieces=pieces)
    elif overlong == "split":
        pieces = Pieces.of(items.lengths, limits.capacity)
        items = replace(items, lengths=pieces.piece_lengths, pieces=pieces)
    dropped = _overlong_items(items, limits)
    if len(dropped):
        if overlong == "error":
            _refuse_overlong(items, limits, dropped)
        ids = np.delete(np.arange(len(items.lengths), dtype=_id_type(len(items.lengths))), dropped)
        weights = None if items.weights is None else items.weights[ids]
        items = replace(items, lengths=items.lengths[ids], weights=weights, ids=ids, dropped=dropped)
    narrow_type = _narrow_type(int(items.lengths.max(initial=0)))
    return replace(items, lengths=items.lengths.astype(narrow_type, copy=False))


def _search_runs(
    items: _Items, histogram: Histogram, limits: _Limits, algorithm: Algorithm, *, lower_bound: int
) -> tuple[Algorithm, Runs]:
    """Return the packing, and the algorithm that made it."""
    if algorithm == "next_fit":
        starts = next_fit_starts(
            items.lengths,
            limits.capacity,
            max_items=limits.max_items,
            weights=items.weights,
            weight_capacity=limits.weight_capacity,
        )
        return algorithm, Runs.from_consecutive_items(starts, items.lengths, items.weights)
    best = search(
        histogram,
        limits.capacity,
        algorithm,
        lower_bound=lower_bound,
        max_items=limits.max_items,
        weight_capacity=limits.weight_capacity,
    )
    return best.algorithm, Runs.from_packing(best.packing, histogram)


def _count(
    lengths: NDArray[np.integer], weights: NDArray[np.integer] | None, *, keep_order: bool
) -> tuple[Histogram, NDArray[np.unsignedinteger]]:
    """Return the histogram and the item ids.

    The ids are sorted by length and weight, or keep the given order if `keep_order` is set.
    Items with two constraints are counted and sorted by one key: length times the number of weights, plus the weight.
    """
    keys, weight_values = lengths, None
    num_weights = 1
    if weights is not None:
        num_weights = int(weights.max(initial=0)) + 1
        if (int(lengths.max(initial=0)) + 1) * num_weights >= 1 << 62:
            # The key would not fit into 64 bits: number the distinct weights instead.
            weight_values, weights = np.unique(weights, return_inverse=True)
            num_weights = len(weight_values)
        keys = lengths.astype(np.int64) * num_weights + weights.astype(np.int64)
        keys = keys.astype(_narrow_type(int(keys.max(initial=0))))
    largest = int(keys.max(initial=0))
    if keep_order:
        histogram, order = count_sizes(keys, largest), np.arange(len(lengths), dtype=_id_type(len(lengths)))
    else:
        histogram, order = sort_by_length(keys, largest)
    if weights is None:
        return histogram, order
    # Split the keys of the types into lengths and weights again.
    type_weights = histogram.sizes % num_weights
    type_weights = type_weights if weight_values is None else weight_values[type_weights].astype(np.int64)
    return Histogram(histogram.sizes // num_weights, histogram.counts, type_weights), order


def _overlong_items(items: _Items, limits: _Limits) -> NDArray[np.int64]:
    """Return the ids of the items that no bin holds, ascending."""
    is_overlong = np.zeros(0, dtype=bool)
    if items.lengths.max(initial=0) > limits.capacity:
        is_overlong = items.lengths > limits.capacity
    if items.weights is not None and items.weights.max(initial=0) > limits.weight_capacity:
        is_overlong = (items.lengths > limits.capacity) | (items.weights > limits.weight_capacity)
    return np.flatnonzero(is_overlong)


def _refuse_overlong(items: _Items, limits: _Limits, overlong: NDArray[np.int64]) -> NoReturn:
    """Raise a DataError that names the first item that no bin holds."""
    first = int(overlong[0])
    if items.lengths[first] > limits.capacity or items.weights is None:
        problem = f"item {first} has length {items.lengths[first]}, but a bin holds {limits.capacity}"
    else:
        problem = f"item {first} has weight {items.weights[first]}, but a bin holds {limits.weight_capacity}"
    raise DataError(
        f"{problem} ({len(overlong)} of {len(items.lengths)} items do not fit)",
        hint="raise the capacity, shorten the item, or pass overlong='drop' or overlong='split'",
    )


def _check_choices(limits: _Limits, algorithm: str, overlong: str) -> None:
    if algorithm not in get_args(Algorithm):
        raise ConfigError(f"algorithm is {algorithm!r}, expected one of {', '.join(get_args(Algorithm))}")
    if overlong not in get_args(Overlong):
        raise ConfigError(f"overlong is {overlong!r}, expected one of {', '.join(get_args(Overlong))}")
    if algorithm == "exact_fill" and (limits.max_items or limits.capacity > MAX_CAPACITY):
        raise ConfigError(
            f"exact_fill does not support max_items, or a capacity above {MAX_CAPACITY}; "
            f"found max_items={limits.max_items}, capacity={limits.capacity}",
            hint="use algorithm='best'",
        )


def _check_weighting(has_weights: bool, limits: _Limits, algorithm: str) -> None:
    if bool(limits.weight_capacity) != has_weights:
        raise ConfigError(
            f"weight_capacity is {limits.weight_capacity} {'with' if has_weights else 'without'} weights, "
            "expected at least 1 with weights, and 0 without"
        )
    if has_weights and algorithm == "bfd":
        raise ConfigError("algorithm is 'bfd', which does not support weights", hint="use algorithm='best'")


def _check_units(has_units: bool, needs_units: bool) -> None:
    if has_units and not needs_units:
        raise ConfigError("found units without weights and overlong='split'", hint="leave out units")
    if needs_units and not has_units:
        raise ConfigError(
            "overlong is 'split' with weights, but the weight of a piece is unknown",
            hint="pass units, a function that says which parts of an item carry its weight",
        )


def _check_totals(histogram: Histogram) -> None:
    for noun, sizes in (("length", histogram.sizes), ("weight", histogram.weights)):
        if sizes is not None and sizes.astype(np.float64) @ histogram.counts >= MAX_TOTAL:
            raise DataError(f"the {noun}s add up to {MAX_TOTAL} or more", hint="count them in a larger unit")


def _as_array(values: Sequence[int] | NDArray[np.integer], noun: str, least: int) -> NDArray[np.integer]:
    """Return lengths or weights as an array of integers from `least` on.

    Raises:
        DataError: If they are not; the message names the first such item.
    """
    try:
        numbers = np.asarray(values)
    except ValueError as error:
        raise DataError(f"the {noun}s are not a list of integers: {error}") from error
    if numbers.ndim != 1:
        raise DataError(f"the {noun}s have shape {numbers.shape}, expected one dimension")
    if not len(numbers):
        return np.zeros(0, dtype=np.int64)
    if not np.issubdtype(numbers.dtype, np.integer):
        raise DataError(f"the {noun}s have type {numbers.dtype}, expected integers of up to 64 bits")
    if numbers.dtype == np.uint64 and numbers.max() >= MAX_TOTAL:
        first = int(np.argmax(numbers >= MAX_TOTAL))
        raise DataError(f"item {first} has {noun} {numbers[first]}, expected less than {MAX_TOTAL}")
    if numbers.min() < least:
        first = int(np.argmax(numbers < least))
        raise DataError(f"item {first} has {noun} {numbers[first]}, expected at least {least}")
    return numbers


def _id_type(num_items: int) -> type[np.unsignedinteger]:
    return np.uint32 if num_items <= 1 << 32 else np.uint64


def _narrow_type(longest: int) -> type[np.unsignedinteger]:
    return np.uint16 if longest < 1 << 16 else np.uint32 if longest < 1 << 32 else np.uint64
