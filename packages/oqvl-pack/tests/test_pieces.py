"""Splitting: the pieces of an item are consecutive, as long as a bin but the last, and each in one bin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.packing import pack
from oqvl_pack.pieces import Span
from oqvl_shards.errors import ConfigError


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
