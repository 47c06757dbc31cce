"""Streaming: every item once, oldest first, within its age, and the same bins after a stop."""

from __future__ import annotations

import json
from itertools import combinations, islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.streaming import StreamingPacker
from oqvl_shards.errors import ConfigError, DataError

lengths = st.lists(st.integers(1, 50), max_size=120)


def captions(num: int) -> list[int]:
    return np.minimum(144 + np.ceil(np.random.default_rng(0).lognormal(3.1, 0.7, num)), 4096).astype(int).tolist()


@given(lengths, st.integers(50, 120), st.integers(1, 20), st.integers(0, 30))
def test_every_item_once_and_in_time(items: list[int], capacity: int, buffer_size: int, max_age: int) -> None:
    packer = StreamingPacker(capacity, buffer_size=buffer_size, max_age=max_age)
    seen = []
    for position, length in enumerate(items):
        for members in packer.push(position, length):
            assert sum(items[member] for member in members) <= capacity
            assert members == sorted(members)
            seen += members
        waiting = set(range(position + 1)) - set(seen)
        assert len(waiting) == packer.num_buffered
        assert not max_age or all(position - item < max_age for item in waiting)
        assert len(waiting) < buffer_size or sum(items[item] for item in waiting) < 2 * capacity
    for members in packer.flush():
        assert sum(items[member] for member in members) <= capacity
        seen += members
    assert sorted(seen) == list(range(len(items)))
    assert packer.num_buffered == 0
    assert packer.num_tokens == sum(items)


@given(st.lists(st.integers(1, 25), min_size=1, max_size=12), st.integers(50, 70))
def test_bin_holds_the_oldest_and_is_the_fullest_with_it(items: list[int], capacity: int) -> None:
    packer = StreamingPacker(capacity, buffer_size=100)
    for position, length in enumerate(items):
        list(packer.push(position, length))
    members = next(packer.flush())
    rest = items[1:]
    sums = (items[0] + sum(chosen) for num in range(len(rest) + 1) for chosen in combinations(rest, num))
    assert members[0] == 0
    assert sum(items[member] for member in members) == max(total for total in sums if total <= capacity)


@given(lengths, st.integers(1, 8))
def test_nobody_waits_forever(items: list[int], buffer_size: int) -> None:
    packer = StreamingPacker(50, buffer_size=buffer_size)
    entered, left = {}, {}
    for position, length in enumerate(items):
        entered[position] = packer.num_bins, packer.num_buffered
        for members in packer.push(position, length):
            left |= dict.fromkeys(members, packer.num_bins)
    for position, num_bins in left.items():
        first_bin, num_before = entered[position]
        assert num_bins - first_bin <= 4 * buffer_size + num_before + 1


@given(lengths, st.integers(1, 20), st.integers(0, 30), st.integers(0, 120), st.booleans())
def test_resumed_packer_goes_on_with_the_same_bins(
    items: list[int], buffer_size: int, max_age: int, stop: int, halfway: bool
) -> None:
    def start() -> StreamingPacker:
        return StreamingPacker(60, buffer_size=buffer_size, max_age=max_age)

    stream = list(enumerate(items))
    expected = list(start().pack(stream))
    packer, bins = start(), []
    for item, length in stream[:stop]:
        closing = packer.push(item, length)
        bins += list(closing) if item < stop - 1 or not halfway else list(islice(closing, 1))
    resumed = start()
    resumed.load_state_dict(json.loads(json.dumps(packer.state_dict())))
    bins += list(resumed.pack(stream[stop:]))
    assert bins == expected
    assert (resumed.num_bins, resumed.num_items) == (len(expected), len(items))


@pytest.mark.parametrize("buffer_size", [32, 64, 256])
def test_fills_captions(buffer_size: int) -> None:
    items = captions(20_000)
    packer = StreamingPacker(4096, buffer_size=buffer_size)
    bins = list(packer.pack(enumerate(items)))
    filled = [sum(items[member] for member in members) for members in bins[:-1]]
    assert sum(filled) > 0.9999 * 4096 * len(filled)
    assert len(bins) == packer.num_bins == pack(items, 4096).lower_bound


def test_large_items_are_packed_as_well_as_in_windows() -> None:
    items = np.random.default_rng(0).integers(820, 3277, 6400).tolist()
    in_windows = sum(pack(items[start : start + 64], 4096, algorithm="ffd").num_bins for start in range(0, 6400, 64))
    packer = StreamingPacker(4096, buffer_size=64)
    assert len(list(packer.pack(enumerate(items)))) < 0.98 * in_windows


def test_any_item() -> None:
    packer = StreamingPacker(10, buffer_size=1)
    assert list(packer.pack([("a", 6), ("b", 3), ("c", 4), ("d", 7)])) == [["b", "d"], ["a", "c"]]


@pytest.mark.parametrize(
    "arguments", [{"capacity": 0}, {"capacity": 1 << 25}, {"capacity": 9.5}, {"buffer_size": 0}, {"max_age": -1}]
)
def test_arguments_that_cannot_work(arguments: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        StreamingPacker(**{"capacity": 10, **arguments})


@pytest.mark.parametrize("length", [0, -3, 11, 1.5, float("nan")])
def test_lengths_out_of_range(length: int) -> None:
    packer = StreamingPacker(10)
    with pytest.raises(DataError, match=f"item 0 has length {length}, expected 1 to 10"):
        packer.push("a", length)
    assert packer.num_buffered == 0


def test_state_of_another_packer() -> None:
    state = StreamingPacker(10).state_dict()
    for other in (StreamingPacker(11), StreamingPacker(10, buffer_size=3), StreamingPacker(10, max_age=3)):
        with pytest.raises(ConfigError, match="the state has"):
            other.load_state_dict(state)
    with pytest.raises(ConfigError, match="version 7"):
        StreamingPacker(10).load_state_dict({**state, "version": 7})


def test_numbers_of_numpy_count() -> None:
    items = captions(200)
    expected = list(StreamingPacker(4096, buffer_size=16).pack(enumerate(items)))
    packer = StreamingPacker(np.uint16(4096), buffer_size=np.uint8(16))
    assert list(packer.pack(enumerate(np.asarray(items, dtype=np.uint16)))) == expected
    json.dumps(packer.state_dict())


@pytest.mark.parametrize(
    "damage",
    [{"buffer": [["a", 5]]}, {"buffer": [["a", 11, 0, 0]]}, {"buffer": None}, {"num_items": "3"}, {"num_bins": None}]
    + [{"buffer": [waiting]} for waiting in (["a", 5, None, 0], ["a", 5, 0, "0"], ["a", 5, -1, 0], ["a", 5, 0.5, 0])]
    + [{"buffer": value} for value in ([5], ["ab"], [["a", 5, 0, 0, 0]], 7)],
)
def test_a_damaged_state_changes_nothing(damage: dict[str, object]) -> None:
    packer = StreamingPacker(10)
    list(packer.push("a", 5))
    before = packer.state_dict()
    with pytest.raises(ConfigError, match="the state is damaged"):
        packer.load_state_dict({**before, "num_items": 9, **damage})
    assert packer.state_dict() == before


def test_push_takes_an_item_before_its_bins_are_asked_for() -> None:
    packer = StreamingPacker(10, buffer_size=1)
    closing = [packer.push(name, length) for name, length in (("a", 6), ("b", 6), ("c", 6), ("d", 6))]
    assert (packer.num_items, packer.num_buffered, packer.num_bins) == (4, 4, 0)
    # Four items of 6 are more than two bins' worth; three are not.
    assert [list(bins) for bins in closing] == [[["a"]], [], [], []]
    assert packer.num_buffered == 3


def test_figures_count_closed_bins_alone() -> None:
    packer = StreamingPacker(10, buffer_size=1)
    assert packer.utilization == 1.0
    assert list(packer.pack([("a", 6), ("b", 4), ("c", 5)])) == [["a", "b"], ["c"]]
    assert (packer.num_bins, packer.num_tokens, packer.utilization) == (2, 15, 0.75)


def test_the_state_says_what_waits() -> None:
    packer = StreamingPacker(10, buffer_size=5, max_age=7)
    list(packer.push("a", 3))
    list(packer.push("b", 4))
    assert packer.state_dict() == {
        "version": 1,
        "capacity": 10,
        "buffer_size": 5,
        "max_age": 7,
        "num_items": 2,
        "num_bins": 0,
        "num_tokens": 0,
        "buffer": [["a", 3, 0, 0], ["b", 4, 1, 0]],
    }


@given(lengths, st.integers(1, 30))
def test_an_unlimited_buffer_is_no_worse_than_twice_the_volume(items: list[int], capacity_above: int) -> None:
    capacity = 50 + capacity_above
    bins = list(StreamingPacker(capacity, buffer_size=1000).pack(enumerate(items)))
    fills = [sum(items[member] for member in members) for members in bins]
    # Two bins that follow one another hold more than one bin: the first took all that fits with its oldest item.
    assert all(first + second > capacity for first, second in pairwise(fills))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 20))
def test_an_age_limit_of_one_closes_a_bin_for_every_item_that_waits(items: list[int], buffer_size: int) -> None:
    packer = StreamingPacker(50, buffer_size=buffer_size, max_age=1)
    for position, length in enumerate(items):
        list(packer.push(position, length))
        assert packer.num_buffered <= 1


def test_long_items_go_first_until_the_oldest_has_waited_long_enough() -> None:
    packer = StreamingPacker(10, buffer_size=2)
    leaves: dict[str, int] = {}
    stream = [("small", 1), *((f"long{i}", 10) for i in range(40))]
    for members in packer.pack(stream):
        leaves |= dict.fromkeys(members, packer.num_bins)
    # Four buffers' worth of bins, two items each, pass by the small item; then its turn comes.
    assert leaves["small"] == 4 * 2 + 1


ADVERSARIAL = {
    "just over half, in turns with just half": [51, 50] * 60,
    "whole bins among crumbs": [100, 1, 1, 1] * 40,
    "ascending": [*range(1, 101)] * 2,
    "descending": [*range(100, 0, -1)] * 2,
    "a crumb for every gap": [99, 1] * 60,
    "partners come last": [60] * 80 + [40] * 80,
    "thirds that never add up": [34, 33, 34] * 50,
    "one length": [37] * 150,
    "one long item under a thousand crumbs": [100, *[1] * 1000],
}


@pytest.mark.parametrize("items", ADVERSARIAL.values(), ids=ADVERSARIAL)
@pytest.mark.parametrize(("buffer_size", "max_age"), [(1, 0), (5, 0), (5, 3), (1000, 0)])
def test_a_stream_is_a_packing_of_its_items(items: list[int], buffer_size: int, max_age: int) -> None:
    packer = StreamingPacker(100, buffer_size=buffer_size, max_age=max_age)
    bins = list(packer.pack(enumerate(items)))
    assert sorted(member for members in bins for member in members) == list(range(len(items)))
    assert all(members == sorted(members) for members in bins)
    fills = [sum(items[member] for member in members) for members in bins]
    assert max(fills) <= 100
    at_once = pack(items, 100)
    assert len(bins) >= at_once.lower_bound
    # With everything in the buffer, the stream is packed about as well as all items at once.
    assert buffer_size < 1000 or len(bins) <= 1.05 * at_once.num_bins + 1
    assert (packer.num_items, packer.num_bins, packer.num_buffered) == (len(items), len(bins), 0)
    assert packer.utilization == sum(items) / (100 * len(bins))


@given(st.integers(1, 60), st.integers(0, 90), st.integers(1, 9), st.integers(0, 9))
def test_items_of_one_length_keep_their_order(length: int, num: int, buffer_size: int, max_age: int) -> None:
    packer = StreamingPacker(60, buffer_size=buffer_size, max_age=max_age)
    bins = list(packer.pack((item, length) for item in range(num)))
    assert [member for members in bins for member in members] == list(range(num))


@given(st.lists(st.integers(1, 30), max_size=90), st.integers(1, 9), st.integers(0, 9))
def test_bins_of_short_items_begin_with_the_oldest(items: list[int], buffer_size: int, max_age: int) -> None:
    waiting = set(range(len(items)))
    for members in StreamingPacker(60, buffer_size=buffer_size, max_age=max_age).pack(enumerate(items)):
        assert members[0] == min(waiting)
        waiting -= set(members)


def test_an_item_whose_time_has_come_goes_before_longer_ones() -> None:
    stream = [("old", 2), ("b", 9), ("c", 9), ("d", 9)]
    by_age = StreamingPacker(10, buffer_size=9, max_age=2)
    assert [list(by_age.push(*pushed)) for pushed in stream] == [[], [], [["old"]], [["b"]]]
    # Without a limit of age, the long ones go first.
    assert list(StreamingPacker(10, buffer_size=9).pack(stream)) == [["b"], ["c"], ["d"], ["old"]]
