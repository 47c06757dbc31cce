from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter import uid_array
from oqvl_filter.uid_array import contains, hash_uids, map_uid_file, pack_uids, parse_uids, sort_uids
from oqvl_shards.errors import DataError
from oqvl_shards.uid import UID_DTYPE, uids_to_array

uid_texts = st.lists(st.integers(0, 40).map(lambda n: f"{n % 5:016x}{n * (1 << 58):016x}"[-32:]), min_size=1)


@given(uid_texts, st.integers(0, 5))
def test_a_column_is_parsed_whatever_its_chunks(texts: list[str], cut: int):
    column = pa.chunked_array([pa.array(["0" * 32, *texts]).slice(1, cut), pa.array(texts[cut:], pa.string())])
    words = [(int(text[:16], 16), int(text[16:], 16)) for text in texts]
    assert parse_uids(column).tolist() == words


@pytest.mark.parametrize("bad", ["", "0" * 31, "0" * 33, "g" * 32, None])
def test_what_is_no_uid_is_refused(bad: str | None):
    with pytest.raises(DataError, match="32 hexadecimal digits"):
        parse_uids(pa.chunked_array([pa.array(["0" * 32, bad])]))


@given(uid_texts)
def test_sorting_keeps_the_first_row_of_every_uid(texts: list[str]):
    uids, rows = sort_uids(parse_uids(pa.chunked_array([pa.array(texts)])))
    assert np.array_equal(uids, uids_to_array(texts))
    assert [texts.index(texts[row]) for row in rows] == rows.tolist()


@given(uid_texts, uid_texts, st.sampled_from([0, 64]))
def test_membership_is_that_of_sets(members: list[str], uids: list[str], few: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uid_array, "FEW", few)
        mask = contains(uids_to_array(members)[::-1], pack_uids(uids))
    assert mask.tolist() == [uid in members for uid in uids]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.lists(st.integers(0, 2**64 - 1), max_size=5), st.booleans())
def test_few_among_many_are_found_where_they_lie(many: list[int], few: list[int], shared: bool):
    words_M = np.sort(np.array(many, dtype=np.uint64))
    words_N = np.array([*few, *(many[:3] if shared else [])], dtype=np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uid_array, "FEW", 0)
        found = uid_array._search(words_M, words_N)
    assert found.tolist() == np.searchsorted(words_M, words_N).tolist()


def test_uids_that_end_in_zero_bytes_are_told_apart():
    uids = np.array([(1 << 56, 0), (1 << 56, 1), (0, 0)], dtype=UID_DTYPE)
    assert contains(uids[:1], uids).tolist() == [True, False, False]


def splitmix64(state: int) -> int:
    """The published generator's step, in plain integers."""
    mask = 2**64 - 1
    state = (state + 0x9E3779B97F4A7C15) & mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 9))
def test_the_hash_is_that_of_the_published_generator(high: int, low: int, seed: int):
    assert splitmix64(0) == 0xE220A8397B1DCDAF
    uids = np.array([(high, low)], dtype=UID_DTYPE)
    assert hash_uids(uids, seed).tolist() == [splitmix64(high ^ splitmix64(low ^ splitmix64(seed)))]


def test_a_subset_file_is_never_unpickled(tmp_path: Path):
    np.save(tmp_path / "evil.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(DataError, match="not a readable"):
        map_uid_file(tmp_path / "evil.npy")


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 2), dtype=UID_DTYPE)])
def test_a_subset_file_of_another_layout_is_refused(tmp_path: Path, array: np.ndarray):
    np.save(tmp_path / "other.npy", array)
    with pytest.raises(DataError, match="expected 1-dimensional"):
        map_uid_file(tmp_path / "other.npy")
