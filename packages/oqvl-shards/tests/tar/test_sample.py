import pickle
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from oqvl_shards.errors import DataError
from oqvl_shards.tar.index import Member
from oqvl_shards.tar.sample import (
    IMAGE_TYPES,
    MEMBER_TYPES,
    PACK_MEMBER_TYPES,
    ReadLimits,
    Reject,
    RejectReason,
    Sample,
    SampleError,
    member_type,
    split_name,
)


@pytest.mark.parametrize(
    ("name", "key", "suffix"),
    [
        ("0001.jpg", "0001", "jpg"),
        ("0001.001.JPG", "0001", "001.jpg"),
        ("a.b/c.d.txt", "a.b/c", "d.txt"),
        ("./a.jpg", "./a", "jpg"),
        ("a.", "a", ""),
        ("README", "", ""),
        (".hidden", "", ""),
        ("a/.hidden.jpg", "", ""),
        ("", "", ""),
    ],
)
def test_names_are_split_at_the_first_dot_after_the_last_slash(name, key, suffix):
    assert split_name(name) == (key, suffix)


def test_the_type_is_the_last_part_of_the_suffix():
    assert [member_type(name) for name in ("a.jpg", "a.001.PNG", "a", "a.tar.gz")] == ["jpg", "png", "", "gz"]


def test_a_sample_finds_its_members():
    members = (Member("k.JSON", 0, 1), Member("k.001.jpg", 0, 1), Member("k.002.png", 0, 1))
    sample = Sample("k", "s.tar", members, ("json", "001.jpg", "002.png"))
    assert sample.member("json") == members[0]
    assert sample.member("001.jpg") == members[1]
    assert sample.member("txt") is None
    assert sample.image_members == members[1:]


def test_an_error_keeps_its_reason_between_processes():
    error = pickle.loads(pickle.dumps(SampleError(RejectReason.NOT_JSON, "line 1")))  # our own bytes
    assert (error.reason, error.detail, error.message) == (RejectReason.NOT_JSON, "line 1", "not_json: line 1")
    assert isinstance(error, DataError)
    assert error.exit_code == 5


def test_limits_are_closed_and_positive():
    for values in ({"max_pixels": 1}, {"max_image_pixels": 0}, {"max_image_pixels": 10**9}, {"max_json_depth": 10_000}):
        with pytest.raises(ValidationError):
            ReadLimits.model_validate(values)
    assert all(field.description for field in ReadLimits.model_fields.values())


name_parts = st.text("abAB01_-", min_size=1, max_size=6)


@given(st.lists(name_parts, max_size=3), name_parts, st.lists(name_parts, min_size=1, max_size=3))
def test_a_name_is_its_folders_its_stem_and_its_suffix(folders, stem, suffixes):
    key, suffix = "/".join([*folders, stem]), ".".join(suffixes)
    assert split_name(f"{key}.{suffix}") == (key, suffix.lower())
    assert member_type(f"{key}.{suffix}") == suffixes[-1].lower()


@given(st.lists(st.sampled_from(["jpg", "jpeg", "png", "webp", "txt", "json", "000.jpg", "001.png"]), unique=True))
def test_images_come_in_the_order_of_the_shard(suffixes):
    members = tuple(Member(f"k.{suffix}", index, 1) for index, suffix in enumerate(suffixes))
    sample = Sample("k", "s.tar", members, tuple(suffixes))
    expected = [member for member in members if member_type(member.name) in IMAGE_TYPES]
    assert list(sample.image_members) == expected
    assert [sample.member(suffix) for suffix in suffixes] == list(members)


def test_a_stage_may_reject_for_reasons_of_its_own():
    class Reason(StrEnum):
        TOO_DULL = "too_dull"

    error = SampleError(Reason.TOO_DULL)
    assert (str(error.message), error.detail) == ("too_dull", "")
    reject = Reject("k", error.reason)
    assert (reject.key, str(reject.reason), reject.detail) == ("k", "too_dull", "")


def test_what_is_read_is_disjoint_from_what_a_pack_adds():
    assert MEMBER_TYPES & PACK_MEMBER_TYPES == IMAGE_TYPES
    assert not {"pkl", "pyd", "npy", "gz"} & (MEMBER_TYPES | PACK_MEMBER_TYPES)
