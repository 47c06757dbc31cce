import json
from dataclasses import fields

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from oqvl_shards.errors import DataError
from oqvl_shards.packed.codec import decode_record, encode_record
from oqvl_shards.packed.record import PackRecord


def assert_same(found: PackRecord, expected: PackRecord) -> None:
    for field in fields(PackRecord):
        left, right = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(right, np.ndarray):
            assert left.dtype == right.dtype, field.name
            assert left.tolist() == right.tolist(), field.name
        else:
            assert left == right, field.name


@given(data=st.data())
def test_decoding_undoes_encoding(records: st.SearchStrategy[PackRecord], data: st.DataObject) -> None:
    record = data.draw(records)
    encoded = encode_record(record)
    assert_same(decode_record(encoded, "here"), record)
    assert encode_record(record) == encoded


def test_the_bytes_are_those_of_the_specification(record: PackRecord) -> None:
    encoded = encode_record(record)
    size = int.from_bytes(encoded[:8], "little")
    header = json.loads(encoded[8 : 8 + size])
    metadata = header.pop("__metadata__")
    assert list(metadata) == ["oqvl_pack"]
    assert json.loads(metadata["oqvl_pack"]) == {
        "codec_version": 1,
        "document_keys": ["00000.tar/a", "00000.tar/é"],
        "image_types": ["png"],
    }
    assert {name: (entry["dtype"], entry["shape"]) for name, entry in header.items()} == {
        "document_lengths": ("I32", [2]),
        "image_positions": ("I32", [1]),
        "image_tokens": ("I32", [1]),
        "input_ids": ("I32", [6]),
        "is_target": ("BOOL", [6]),
    }


def test_safetensors_reads_what_we_write(record: PackRecord) -> None:
    tensors = safetensors.numpy.load(encode_record(record))
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        name: getattr(record, name).tolist()
        for name in ("document_lengths", "image_positions", "image_tokens", "input_ids", "is_target")
    }


def rewrite(data: bytes, metadata: object = None, **changes: np.ndarray | None) -> bytes:
    """Return the file with tensors replaced (None: left out) and another `oqvl_pack` entry."""
    tensors = safetensors.numpy.load(data)
    size = int.from_bytes(data[:8], "little")
    text = json.loads(data[8 : 8 + size])["__metadata__"]["oqvl_pack"]
    tensors |= {name: value for name, value in changes.items() if value is not None}
    tensors = {name: value for name, value in tensors.items() if name not in changes or changes[name] is not None}
    return safetensors.numpy.save(tensors, {"oqvl_pack": text if metadata is None else json.dumps(metadata)})


GOOD = {"codec_version": 1, "document_keys": ["a", "b"], "image_types": ["png"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": GOOD | {"codec_version": 2}}, "has codec version 2, but this release reads 1"),
        ({"metadata": GOOD | {"codec_version": "1"}}, "has codec version '1'"),
        ({"metadata": [1]}, "is not a JSON object"),
        ({"metadata": GOOD | {"document_keys": "ab"}}, "document_keys is not a list of strings"),
        ({"metadata": GOOD | {"image_types": [1]}}, "image_types is not a list of strings"),
        ({"metadata": GOOD | {"document_keys": ["a"]}}, "document_keys and document_lengths differ"),
        ({"input_ids": np.zeros(6, dtype=np.int64)}, r"holds .*input_ids int64\[1d\]"),
        ({"input_ids": np.zeros((6, 1), dtype=np.int32)}, r"holds .*input_ids int32\[2d\]"),
        ({"input_ids": None}, "expected .*input_ids"),
        ({"another": np.zeros(1, dtype=np.int32)}, r"holds another int32\[1d\]"),
        ({"image_positions": np.array([7], dtype=np.int32)}, "an image position is outside"),
    ],
)
def test_damage_inside_the_file_is_named(record: PackRecord, change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=f"(?s)here.*{message}"):
        decode_record(rewrite(encode_record(record), **change), "here")  # pyrefly: ignore[bad-argument-type]


def test_a_boolean_is_zero_or_one(record: PackRecord) -> None:
    data = bytearray(encode_record(record))
    data[-1] = 2
    assert safetensors.numpy.load(bytes(data))["is_target"].tolist()[-1] is True
    with pytest.raises(DataError, match="here: is_target holds a byte other than 0 and 1"):
        decode_record(bytes(data), "here")


@given(data=st.data())
def test_damaged_bytes_give_a_data_error_or_a_record_that_fits_together(
    records: st.SearchStrategy[PackRecord], data: st.DataObject
) -> None:
    encoded = bytearray(encode_record(data.draw(records)))
    damage = data.draw(st.sampled_from(["flip", "cut", "grow"]))
    position = data.draw(st.integers(0, len(encoded) - 1))
    if damage == "flip":
        encoded[position] ^= data.draw(st.integers(1, 255))
    elif damage == "cut":
        del encoded[position:]
    else:
        encoded[position:position] = data.draw(st.binary(min_size=1, max_size=8))
    try:
        decode_record(bytes(encoded), "here").expand()
    except DataError as error:
        assert "here" in error.message


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_give_a_data_error(data: bytes) -> None:
    with pytest.raises(DataError, match="here is not a pack record"):
        decode_record(data, "here")
