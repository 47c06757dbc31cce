"""A pack record as bytes and back: one safetensors file, so that any reader of that format can open it.

The layout is specified in this directory's README.md.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from oqvl_shards.errors import DataError
from oqvl_shards.packed.record import PackRecord

CODEC_VERSION = 1
"""Version of a record's layout; a reader accepts this one."""

METADATA_KEY = "oqvl_pack"
"""The one metadata entry: with several, safetensors writes them in an order that changes from run to run."""

_DTYPES = {
    "document_lengths": np.dtype(np.int32),
    "image_positions": np.dtype(np.int32),
    "image_tokens": np.dtype(np.int32),
    "input_ids": np.dtype(np.int32),
    "is_target": np.dtype(np.bool_),
}
_HINT = "the packed shard is damaged, or another tool wrote it: pack again"


def encode_record(record: PackRecord) -> bytes:
    """Return `record` as the bytes of a safetensors file; equal records give equal bytes.

    Raises:
        DataError: If the parts of `record` do not fit together.
    """
    record.check("record to encode")
    tensors = {name: np.ascontiguousarray(getattr(record, name), dtype) for name, dtype in _DTYPES.items()}
    metadata = {
        "codec_version": CODEC_VERSION,
        "document_keys": record.document_keys,
        "image_types": record.image_types,
    }
    text = json.dumps(metadata, separators=(",", ":"), ensure_ascii=False)
    return save(tensors, metadata={METADATA_KEY: text})


def decode_record(data: bytes, where: str) -> PackRecord:
    """Return the record that `encode_record` made `data` from.

    Args:
        data: The bytes of one `.safetensors` member; untrusted.
        where: What to call it in an error, e.g. `shard-00000.tar: 000000007.safetensors`.

    Raises:
        DataError: If `data` is not a record of a version that this release reads, or its parts do not fit together.
    """
    try:
        tensors = load(data)
        metadata = _read_metadata(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{where} is not a pack record: {error}", hint=_HINT) from error
    version = metadata.get("codec_version")
    if version != CODEC_VERSION:
        raise DataError(
            f"{where} has codec version {version!r}, this release reads {CODEC_VERSION}",
            hint="use the release of oqvl-shards that wrote it, or pack again",
        )
    found = {name: (array.dtype, array.ndim) for name, array in tensors.items()}
    expected = {name: (dtype, 1) for name, dtype in _DTYPES.items()}
    if found != expected:
        raise DataError(f"{where} holds {_layout(found)}, expected {_layout(expected)}", hint=_HINT)
    if (tensors["is_target"].view(np.uint8) > 1).any():
        raise DataError(f"{where}: is_target holds a byte other than 0 and 1", hint=_HINT)
    record = PackRecord(
        **tensors,
        document_keys=_strings(metadata, "document_keys", where),
        image_types=_strings(metadata, "image_types", where),
    )
    record.check(where)
    return record


def _read_metadata(data: bytes) -> dict[str, Any]:
    # `safetensors.numpy.load` checks the header and then drops its metadata, so it is read once more here.
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = json.loads(header["__metadata__"][METADATA_KEY])
    if not isinstance(metadata, dict):
        raise ValueError(f"metadata {METADATA_KEY} is not a JSON object")
    return metadata


def _strings(metadata: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
    values = metadata.get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise DataError(f"{where}: {name} is not a list of strings", hint=_HINT)
    return tuple(values)


def _layout(arrays: dict[str, tuple[np.dtype, int]]) -> str:
    return ", ".join(f"{name} {dtype}[{ndim}d]" for name, (dtype, ndim) in sorted(arrays.items()))
