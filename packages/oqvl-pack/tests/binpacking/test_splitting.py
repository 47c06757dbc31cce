"""Splitting: the pieces of an item are consecutive, as long as a bin and its units allow, and each in one bin."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.splitting import Pieces, Span
from oqvl_shards.errors import ConfigError, DataError


@given(
    st.lists(st.integers(1, 100), max_size=60),
    st.integers(1, 120),
    st.sampled_from(["best", "ffd", "next_fit"]),
    st.none() | st.integers(0, 9),
)
def test_every_token_in_one_bin(lengths: list[int], capacity: int, algorithm, seed: int | None) -> None:
    plan = pack(np.asarray(lengths, dtype=np.uint8), capacity, algorithm=algorithm, overlong="split")
    plan = plan if seed is None else plan.shuffled(seed)
    spans = [plan.spans(index) for index in range(len(plan))]
    assert [sum(span.stop - span.start for span in one) for one in spans] == plan.fill.tolist()
    by_item: dict[int, list[Span]] = {}
    for span in sorted(span for one in spans for span in one):
        by_item.setdefault(span.item, []).append(span)
    assert sorted(by_item) == list(range(len(lengths)))
    for item, parts in by_item.items():
        assert [part.start for part in parts] == list(range(0, lengths[item], capacity))
        assert [part.stop for part in parts] == [*range(capacity, lengths[item], capacity), lengths[item]]
    assert plan.pieces is not None
    assert plan.pieces.split.tolist() == [item for item, length in enumerate(lengths) if length > capacity]
    assert not len(plan.dropped)


def test_ids() -> None:
    plan = pack([3, 25, 7, 40], 10, algorithm="next_fit", overlong="split")
    assert plan.pieces is not None
    assert [plan.pieces.span(index) for index in range(plan.num_items)] == [
        (0, 0, 3),
        (1, 0, 10),
        (2, 0, 7),
        (3, 0, 10),
        (1, 10, 20),
        (1, 20, 25),
        (3, 10, 20),
        (3, 20, 30),
        (3, 30, 40),
    ]
    for index in (-1, 9):
        with pytest.raises(IndexError, match=f"id {index} "):
            plan.pieces.span(index)


def test_nothing_overlong_changes_nothing() -> None:
    lengths = np.random.default_rng(0).integers(1, 300, 3000)
    assert np.array_equal(pack(lengths, 300, overlong="split").indices, pack(lengths, 300).indices)


def test_plans_without_pieces_have_no_spans() -> None:
    with pytest.raises(ConfigError, match="overlong='split'"):
        pack([1], 10).spans(0)


@st.composite
def documents(draw: st.DrawFn) -> list[list[tuple[int, int, int]]]:
    """For each item its stretches (length, weight, whether a unit): text weighs nothing and may be cut."""
    stretch = st.one_of(
        st.tuples(st.integers(1, 60), st.just(0), st.just(0)),
        st.tuples(st.integers(1, 20), st.integers(0, 5), st.just(1)),
    )
    return draw(st.lists(st.lists(stretch, min_size=1, max_size=12), max_size=12))


def units_of(document: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    ends = np.cumsum([length for length, _, _ in document]).tolist()
    return [
        (end - length, end, weight) for end, (length, weight, is_unit) in zip(ends, document, strict=True) if is_unit
    ]


@given(documents(), st.integers(20, 90), st.integers(5, 12), st.sampled_from(["best", "ffd", "next_fit"]))
def test_no_unit_is_cut(items: list[list[tuple[int, int, int]]], capacity: int, limit: int, algorithm) -> None:
    lengths = [sum(length for length, _, _ in item) for item in items]
    weights = [sum(weight for _, weight, _ in item) for item in items]
    asked: list[int] = []

    def units(item: int) -> list[tuple[int, int, int]]:
        asked.append(item)
        return units_of(items[item])

    keywords: dict[str, Any] = {"weights": weights, "weight_capacity": limit, "overlong": "split"}
    plan = pack(lengths, capacity, **keywords, algorithm=algorithm, units=units)
    assert asked == [i for i in range(len(items)) if lengths[i] > capacity or weights[i] > limit]
    assert plan.fill.max(initial=0) <= capacity
    assert plan.weight.max(initial=0) <= limit
    cuts: dict[int, set[int]] = {item: set() for item in range(len(items))}
    for index, weight in enumerate(plan.weight.tolist()):
        for item, start, stop in plan.spans(index):
            cuts[item] |= {start, stop}
            inside = [one for one in units_of(items[item]) if start <= one[0] and one[1] <= stop]
            weight -= sum(one for _, _, one in inside) if item in asked else weights[item]
        assert weight == 0
    for item, found in cuts.items():
        bounds = sorted(found)
        assert (bounds[0], bounds[-1]) == (0, lengths[item])
        assert not any(start < cut < stop for start, stop, _ in units_of(items[item]) for cut in bounds)
    assert plan.fill.sum() == sum(lengths)


def test_a_piece_ends_before_the_image_that_is_too_much() -> None:
    # Text of 5, an image of 4, text of 3, two images of 4 and 6, text of 2; two images a bin, 12 tokens.
    images = [(5, 9, 1), (12, 16, 1), (16, 22, 1)]
    keywords: dict[str, Any] = {"weights": [3, 1], "weight_capacity": 2, "overlong": "split"}
    plan = pack([24, 7], 12, **keywords, algorithm="next_fit", units=lambda _item: images)
    assert [plan.spans(index) for index in range(len(plan))] == [[(0, 0, 12)], [(1, 0, 7)], [(0, 12, 24)]]
    assert plan.weight.tolist() == [1, 1, 2]
    plan = pack([24, 7], 24, **keywords, algorithm="next_fit", units=lambda _item: images)
    assert [plan.spans(index) for index in range(len(plan))] == [[(0, 0, 16)], [(1, 0, 7), (0, 16, 24)]]


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([(0, 13, 3)], "item 1 has a unit of length 13 and weight 3 at 0, but a bin holds 10 and 4"),
        ([(2, 4, 5)], r"item 1 of length 30 and weight 3 has the units \(start, stop, weight\) \[\[2, 4, 5\]\]"),
        ([(2, 4, 1), (3, 5, 2)], "item 1 of length 30 and weight 3 has the units"),
        ([(-1, 4, 3)], "item 1 of length 30 and weight 3 has the units"),
        ([(28, 31, 3)], "item 1 of length 30 and weight 3 has the units"),
        ([(4, 4, 3)], "item 1 of length 30 and weight 3 has the units"),
        ([(1, 3, 4), (4, 5, -1)], "item 1 of length 30 and weight 3 has the units"),
        ([], "item 1 of length 30 and weight 3 has the units"),
        ([(2.5, 4, 3)], r"item 1 has the units \[\(2\.5, 4, 3\)\], expected integers \[U, 3\]"),
        ([(2, 4)], r"expected integers \[U, 3\]"),
        (None, r"item 1 has the units None, expected integers \[U, 3\]"),
    ],
)
def test_units_that_do_not_fit(units: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pack([5, 30], 10, weights=[0, 3], weight_capacity=4, overlong="split", units=lambda _item: units)


def test_a_unit_heavier_than_a_bin() -> None:
    with pytest.raises(DataError, match="item 0 has a unit of length 2 and weight 5 at 3, but a bin holds 10 and 4"):
        pack([9], 10, weights=[5], weight_capacity=4, overlong="split", units=lambda _item: [(3, 5, 5)])


def test_units_go_with_weights_and_splitting() -> None:
    with pytest.raises(ConfigError, match="the weight of a piece is unknown"):
        pack([5], 10, weights=[1], weight_capacity=4, overlong="split")
    wrong: list[dict[str, Any]] = [{}, {"overlong": "split"}, {"weights": [1], "weight_capacity": 4}]
    for keywords in wrong:
        with pytest.raises(ConfigError, match="units without weights and overlong='split'"):
            pack([5], 10, **keywords, units=lambda _item: [])


@given(st.lists(st.integers(1, 300), max_size=30), st.integers(1, 120))
def test_pieces_against_a_loop(lengths: list[int], capacity: int) -> None:
    pieces = Pieces.of(np.asarray(lengths, dtype=np.int64), capacity)
    first, further = [], []
    for item, length in enumerate(lengths):
        cuts = [*range(0, length, capacity), length]
        spans = [Span(item, start, stop) for start, stop in itertools.pairwise(cuts)]
        first.append(spans[0])
        further += spans[1:]
    expected = [*first, *further]
    assert [pieces.span(index) for index in range(len(expected))] == expected
    assert pieces.piece_lengths.tolist() == [span.stop - span.start for span in expected]
    assert int(pieces.first_pieces[-1]) == len(expected)


@given(documents(), st.integers(20, 90), st.integers(5, 12))
def test_weighted_pieces_are_as_long_as_they_can_be(
    items: list[list[tuple[int, int, int]]], capacity: int, limit: int
) -> None:
    lengths = np.asarray([sum(length for length, _, _ in item) for item in items], dtype=np.int64)
    weights = np.asarray([sum(weight for _, weight, _ in item) for item in items], dtype=np.int64)
    pieces, piece_weights = Pieces.of_weighted(lengths, weights, capacity, limit, lambda item: units_of(items[item]))
    assert piece_weights.sum() == weights.sum()
    assert pieces.piece_lengths.sum() == lengths.sum()
    for index in range(len(pieces.piece_lengths)):
        item, start, stop = pieces.span(index)
        weight = sum(unit[2] for unit in units_of(items[item]) if start <= unit[0] and unit[1] <= stop)
        if item in pieces.split:
            assert piece_weights[index] == weight <= limit
        if stop < lengths[item] and stop - start < capacity:
            # It ends early only before a unit that would be cut, or that is too heavy.
            [unit] = [unit for unit in units_of(items[item]) if unit[0] == stop]
            assert unit[1] > start + capacity or weight + unit[2] > limit


def test_splitting_many_long_items_is_proven_optimal() -> None:
    lengths = np.random.default_rng(0).integers(1, 5000, 400)
    plan = pack(lengths, 1024, overlong="split")
    assert plan.num_tokens == lengths.sum()
    assert plan.is_optimal


def test_weights_without_overlong_items_are_kept() -> None:
    pieces, weights = Pieces.of_weighted(np.asarray([5, 7]), np.asarray([2, 0]), 10, 3, lambda _item: [])
    assert (weights.tolist(), pieces.split.tolist(), pieces.starts.tolist()) == ([2, 0], [], [])
    assert [pieces.span(index) for index in (0, 1)] == [(0, 0, 5), (1, 0, 7)]
