import pickle

import pytest
from pydantic import ValidationError

from oqvl_shards.errors import DataError
from oqvl_shards.tar.index import Member
from oqvl_shards.tar.sample import ReadLimits, RejectReason, Sample, SampleError, member_type, split_name


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
