import hashlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oqvl_shards.errors import DataError
from oqvl_shards.tar.sample import Sample
from oqvl_shards.uid import Uid, array_to_uids, sample_uid, uid_to_words, uids_to_array, words_to_uid

uids = st.text("0123456789abcdef", min_size=32, max_size=32)
SAMPLE = Sample("000123", "part-0/00000.tar", (), ())


def test_the_source_s_uid_is_taken():
    given = "0123456789abcdef" * 2
    assert sample_uid(SAMPLE, {"uid": given}, "pool") == Uid(given, derived=False)
    assert sample_uid(SAMPLE, {"uid": given.upper()}, "pool") == Uid(given, derived=False)


@pytest.mark.parametrize(
    "metadata", [None, {}, {"uid": None}, {"uid": 7}, {"uid": "0" * 31}, {"uid": "g" * 32}, {"uid": "0" * 33}]
)
def test_others_are_derived_from_where_the_sample_lies(metadata):
    expected = hashlib.sha256(b"oqvl-uid-1\0pool\0part-0/00000.tar\x00000123").hexdigest()[:32]
    assert sample_uid(SAMPLE, metadata, "pool") == Uid(expected, derived=True)


def test_derived_uids_differ_where_the_places_differ():
    samples = [SAMPLE, Sample("000124", SAMPLE.shard, (), ()), Sample("000123", "part-1/00000.tar", (), ())]
    values = [sample_uid(sample, None, "pool").value for sample in samples] + [sample_uid(SAMPLE, None, "other").value]
    assert len(set(values)) == 4


@given(uids)
def test_words_and_digits_are_the_same_number(uid):
    high, low = uid_to_words(uid)
    assert (high << 64) + low == int(uid, 16)
    assert words_to_uid(high, low) == uid


@given(st.lists(uids, max_size=30).map(lambda values: values + values[:3]))
@example(["0" * 31 + "2", "0" * 31 + "1", "f" * 32, "0" * 31 + "2"])
def test_the_array_is_that_of_datacomp(values):
    array = uids_to_array(values)
    expected = np.array(sorted({(int(uid[:16], 16), int(uid[16:], 16)) for uid in values}), dtype="u8,u8")
    assert array.dtype == np.dtype("u8,u8")
    assert array.tolist() == expected.tolist()
    assert array_to_uids(array) == sorted(set(values))


def test_what_is_no_uid_is_refused():
    for bad in ("", "0" * 31, "x" * 32, "0" * 30 + " 1", "+" + "0" * 31):
        with pytest.raises(DataError, match="32 hexadecimal digits"):
            uids_to_array([bad])
    with pytest.raises(DataError, match="expected 1 dimension"):
        array_to_uids(np.zeros(3, dtype=np.uint64))
