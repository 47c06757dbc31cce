"""Uids at the ends of their range, where words overflow and signs turn."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqvl_filter import uid_array
from oqvl_filter.uid_array import (
    contains,
    first_rows,
    format_uids,
    format_words,
    hash_uids,
    hash_words,
    is_ascending,
    locate,
    map_uid_file,
    pack_uids,
    parse_uids,
    read_uid_files,
    sort_uids,
)
from oqvl_shards.errors import DataError
from oqvl_shards.uid import UID_DTYPE

LAST = 2**64 - 1
words = st.sampled_from([0, 1, 255, 256, 2**31, 2**32 - 1, 2**63 - 1, 2**63, LAST - 1, LAST])
uid_pairs = st.tuples(words, words)
uid_lists = st.lists(uid_pairs, max_size=25)


def array_of(uids: list[tuple[int, int]]) -> np.ndarray:
    return np.array(uids, dtype=UID_DTYPE)


def text_of(uid: tuple[int, int]) -> str:
    return f"{uid[0]:016x}{uid[1]:016x}"


@given(uid_lists)
def test_words_and_digits_say_the_same(uids: list[tuple[int, int]]):
    texts = [text_of(uid) for uid in uids]
    column = pa.chunked_array([pa.array(texts, pa.string())])
    assert parse_uids(column).tolist() == pack_uids(texts).tolist() == uids
    assert parse_uids(pa.chunked_array([pa.array([text.upper() for text in texts], pa.string())])).tolist() == uids
    assert format_uids(array_of(uids)).to_pylist() == texts
    assert format_words(np.array([high for high, _ in uids], np.uint64)).to_pylist() == [text[:16] for text in texts]


@given(uid_lists)
def test_the_order_is_that_of_the_digits(uids: list[tuple[int, int]]):
    ordered, rows = sort_uids(array_of(uids))
    assert ordered.tolist() == sorted(set(uids), key=text_of)
    assert [uids.index(uid) for uid in ordered.tolist()] == rows.tolist()
    assert is_ascending(ordered)
    assert is_ascending(array_of(uids)) == all(text_of(left) < text_of(right) for left, right in pairwise(uids))


@given(uid_lists)
def test_the_first_row_of_each_uid_is_kept(uids: list[tuple[int, int]]):
    expected = [row for row, uid in enumerate(uids) if uid not in uids[:row]]
    rows = first_rows(array_of(uids))
    assert (list(range(len(uids))) if rows is None else rows.tolist()) == expected
    assert (rows is None) == (len(expected) == len(uids))


@settings(max_examples=150)
@given(uid_lists, uid_lists, st.sampled_from([0, 64]))
def test_a_uid_is_located_at_its_place_or_nowhere(
    members: list[tuple[int, int]], uids: list[tuple[int, int]], few: int
):
    ordered = sorted(set(members))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uid_array, "FEW", few)
        places = locate(array_of(ordered), array_of(uids)).tolist()
        mask = contains(array_of(members), array_of(uids)).tolist()
    assert places == [ordered.index(uid) if uid in ordered else -1 for uid in uids]
    assert mask == [uid in members for uid in uids]


@given(uid_lists, st.integers(0, LAST))
def test_hashes_differ_where_uids_do(uids: list[tuple[int, int]], seed: int):
    hashes = hash_uids(array_of(uids), seed).tolist()
    assert len(set(hashes)) == len(set(uids))
    assert all(0 <= value <= LAST for value in hashes)
    highs, lows = (np.array([uid[place] for uid in uids], dtype=np.uint64) for place in (0, 1))
    assert len(set(hash_words(highs, lows).tolist())) == len(set(uids))


def test_hashes_of_counted_uids_are_spread_evenly():
    """10,000 uids that count up, in 16 bins: each holds 625 on average, with a standard deviation of 24."""
    uids = array_of([(0, number) for number in range(10_000)])
    for seed in (0, 1, LAST):
        counts = np.bincount((hash_uids(uids, seed) >> np.uint64(60)).astype(int), minlength=16)
        assert counts.min() > 625 - 5 * 25 and counts.max() < 625 + 5 * 25


@given(st.lists(st.lists(uid_pairs, max_size=8), min_size=1, max_size=4))
@settings(max_examples=40)
def test_several_files_are_one_set(tmp_path_factory, files: list[list[tuple[int, int]]]):
    directory = tmp_path_factory.mktemp("uids")
    paths = [directory / f"{index}.npy" for index in range(len(files))]
    for path, uids in zip(paths, files, strict=True):
        np.save(path, array_of(uids))
    assert read_uid_files(paths).tolist() == sorted({uid for uids in files for uid in uids})


def test_a_single_ordered_file_is_mapped(tmp_path: Path):
    np.save(tmp_path / "a.npy", array_of([(0, LAST), (LAST, 0)]))
    assert isinstance(read_uid_files([tmp_path / "a.npy"]), np.memmap)
    np.save(tmp_path / "b.npy", array_of([(LAST, 0), (0, LAST)]))
    assert not isinstance(read_uid_files([tmp_path / "b.npy"]), np.memmap)
    assert read_uid_files([]).tolist() == []


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(2, "i8,i8"),
        np.zeros(2, ">u8,>u8"),
        np.zeros(2, "u8,u8,u8"),
        np.zeros(2, "u8"),
        np.array((1, 2), UID_DTYPE),
        np.zeros(2, "S16"),
    ],
    ids=lambda array: str(array.dtype),
)
def test_words_of_another_kind_are_refused(tmp_path: Path, array: np.ndarray):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match="expected 1-dimensional") as error:
        map_uid_file(tmp_path / "a.npy")
    assert "a.npy" in error.value.message


@given(st.text(alphabet="0123456789abcdefABCDEFxg-_ +", min_size=28, max_size=36))
def test_thirty_two_digits_are_a_uid_and_nothing_else(text: str):
    column = pa.chunked_array([pa.array([text])])
    if len(text) == 32 and set(text.lower()) <= set("0123456789abcdef"):
        assert parse_uids(column).tolist() == [(int(text[:16], 16), int(text[16:], 16))]
    else:
        with pytest.raises(DataError, match="not 32 hexadecimal digits"):
            parse_uids(column)
