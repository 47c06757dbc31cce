from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval import Benchmark, Item, write_benchmark
from oqvl_eval.controls import BLANK_RGB, Pictures, shuffle_pictures
from oqvl_shards.errors import ConfigError


def shuffled(rows, seed=0):
    """Shuffle the pictures of items that show the numbered pictures in `rows`; return slots as plain pairs."""
    dealt = shuffle_pictures([[str(name).encode() for name in row] for row in rows], seed)
    return {(to.row, to.position): (source.row, source.position) for to, source in dealt.items()}


albums = st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=25)


@given(albums, st.integers(0, 5))
def test_no_item_gets_a_picture_of_its_own_or_of_an_item_it_shares_one_with(rows, seed):
    try:
        dealt = shuffled(rows, seed)
    except ConfigError:
        return
    places = {(row, position) for row, names in enumerate(rows) for position in range(len(names))}
    assert set(dealt) == set(dealt.values()) == places
    for (row, _), (source, _) in dealt.items():
        assert not set(rows[row]) & set(rows[source])


def test_seeds_shuffle_differently_and_repeatably():
    rows = [[name] for name in range(40)]
    assert shuffled(rows, 1) == shuffled(rows, 1)
    assert shuffled(rows, 1) != shuffled(rows, 2)


def test_one_picture_everywhere_cannot_be_shuffled():
    with pytest.raises(ConfigError, match="3 of 4 belong to items that share one"):
        shuffled([[1], [1], [1], [2]])
    assert len(shuffled([[1], [1], [2], [3]])) == 4


def test_pictures_are_shared_through_other_items():
    # Pictures 1, 2 and 3 are linked by shared items, so item 0 must not get picture 3 either.
    rows = [[1], [1, 2], [2, 3], [3], [4], [5], [6], [7], [8], [9]]
    for seed in range(20):
        dealt = shuffled(rows, seed)
        assert all(dealt[row, 0][0] >= 4 for row in range(4))


def test_given_pictures(benchmark):
    opened = Benchmark(benchmark)
    pictures, digests = Pictures(opened, "given", 0).of_item(0)
    assert pictures[0].getpixel((0, 0)) == (220, 20, 20)
    assert len(digests[0]) == 64


def test_shuffled_pictures_show_another_item(benchmark):
    opened = Benchmark(benchmark)
    own, dealt = Pictures(opened, "given", 0), Pictures(opened, "shuffled", 0)
    for row in range(len(opened.items)):
        assert own.of_item(row)[1] != dealt.of_item(row)[1]


def test_blank_pictures_keep_their_size(benchmark):
    pictures, digests = Pictures(Benchmark(benchmark), "blank", 0).of_item(3)
    assert np.unique(np.asarray(pictures[0]).reshape(-1, 3), axis=0).tolist() == [list(BLANK_RGB)]
    assert (pictures[0].size, digests) == ((8, 6), ["blank 8x6"])


@pytest.mark.parametrize("condition", ["shuffled", "blank"])
def test_a_control_needs_pictures(tmp_path, condition):
    text_only = write_benchmark(tmp_path / "b", "words", [Item("q", "q", ("2 + 2?",), (), "4")])
    assert Pictures(Benchmark(text_only), "given", 0).of_item(0) == ([], [])
    with pytest.raises(ConfigError, match="without pictures"):
        Pictures(Benchmark(text_only), condition, 0)
