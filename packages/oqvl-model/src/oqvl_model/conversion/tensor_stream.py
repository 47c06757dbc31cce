"""Write a file of safetensors one tensor at a time.

The format is 8 bytes with the length of a JSON header, the header (name, dtype, shape, byte range of each tensor), and
the tensors' bytes. All of the header is known beforehand, so only one tensor is ever in memory. Source: the README of
safetensors.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from oqvl_shards.atomic import atomic_open

NAMES = {torch.float32: "F32", torch.bfloat16: "BF16"}
"""The format's names of the dtypes that models are written in."""

_ALIGNMENT = 8


def write_tensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, read: Callable[[str], Tensor]
) -> None:
    """Write tensors of one dtype to `path`, sorted by name. The same tensors give the same bytes.

    Args:
        path: The file, which appears when it is whole.
        shapes: Shape of every tensor, by name.
        dtype: What they are cast to; float32 or bfloat16.
        read: Returns the tensor of a name, of that shape.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name in sorted(shapes):
        end = position + math.prod(shapes[name]) * dtype.itemsize
        header[name] = {"dtype": NAMES[dtype], "shape": list(shapes[name]), "data_offsets": [position, end]}
        position = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    with atomic_open(path) as file:
        file.write(struct.pack("<Q", len(encoded)))
        file.write(encoded)
        for name in sorted(shapes):
            tensor = read(name).to(dtype).contiguous()
            file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
