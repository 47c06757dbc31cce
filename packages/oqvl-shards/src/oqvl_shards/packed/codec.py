"""Encode a pack record as one safetensors file, and decode it. Any reader of that format can open the file.

README.md in this directory specifies the layout.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from oqvl_shards.errors import DataError
from oqvl_shards.packed.record import PackRecord

CODEC_VERSION = 1
"""Version of a record's layout. Readers accept this one only."""

_METADATA_KEY = "oqvl_pack"
"""The only metadata entry: safetensors writes several entries in an order that changes from run to run."""

_DTYPES = {
    "document_lengths": np.dtype(np.int32),
    "image_positions": np.dtype(np.int32),
    "image_tokens": np.dtype(np.int32),
    "input_ids": np.dtype(np.int32),
    "is_target": np.dtype(np.bool_),
}
_HINT = "the packed shard is damaged, or another tool wrote it: pack again"


def encode_record(record: PackRecord) -> bytes:
    """Return `record` as the bytes of a safetensors file. Equal records give equal bytes.

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
    return save(tensors, metadata={_METADATA_KEY: text})


def decode_record(data: bytes, where: str) -> PackRecord:
    """Return the record that `encode_record` made `data` from.

    Args:
        data: The bytes of one `.safetensors` member, untrusted.
        where: The name of the record in errors, e.g. `shard-00000.tar: 000000007.safetensors`.

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
            f"{where} has codec version {version!r}, but this release reads {CODEC_VERSION}",
            hint="use the release of oqvl-shards that wrote it, or pack again",
        )
    layout = {name: _TensorLayout(array.dtype, array.ndim) for name, array in tensors.items()}
    expected = {name: _TensorLayout(dtype, 1) for name, dtype in _DTYPES.items()}
    if layout != expected:
        raise DataError(f"{where} holds {_listed(layout)}, expected {_listed(expected)}", hint=_HINT)
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
    # `safetensors.numpy.load` checks the header but drops its metadata, so the header is read again here.
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = json.loads(header["__metadata__"][_METADATA_KEY])
    if not isinstance(metadata, dict):
        raise ValueError(f"metadata {_METADATA_KEY} is not a JSON object")
    return metadata


def _strings(metadata: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
    values = metadata.get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise DataError(f"{where}: {name} is not a list of strings", hint=_HINT)
    return tuple(values)


class _TensorLayout(NamedTuple):
    """The dtype and the number of dimensions that a record's layout requires of a tensor."""

    dtype: np.dtype
    num_dims: int


def _listed(layouts: dict[str, _TensorLayout]) -> str:
    return ", ".join(f"{name} {layout.dtype}[{layout.num_dims}d]" for name, layout in sorted(layouts.items()))
