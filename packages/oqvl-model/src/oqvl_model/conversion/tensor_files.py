"""Tensors of local files, opened without reading them. Nothing in a file is executed.

Each tensor is read when it is written to its new place, so the memory in use is that of the largest tensor and never
that of the model.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from oqvl_model.weights import describe_content
from oqvl_shards.errors import ConfigError

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
"""Names of weight files in a model directory, the preferred one first."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Args:
        shape: Its shape.
        dtype: Its dtype.
        read: Reads it.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]


def open_model_directory(directory: Path, key: str) -> dict[str, StoredTensor]:
    """Open the weights of a model directory, in one file or in several with an index.

    Args:
        directory: The directory.
        key: The configuration key that names it, for messages.

    Raises:
        ConfigError: If there are no weights, or a file cannot be read.
    """
    path = next((directory / name for name in WEIGHT_FILES if (directory / name).is_file()), None)
    if path is None:
        raise ConfigError(
            f"{key}: {directory} has no weights; expected one of {', '.join(WEIGHT_FILES)}",
            hint="give a local model directory with its weight files",
        )
    if path.suffix != ".json":
        return open_weights(path)
    try:
        files = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not an index of weight files: {error!r}") from error
    tensors: dict[str, StoredTensor] = {}
    for name in files:
        if Path(name).name != name:
            raise ConfigError(f"{path} names {name!r}, which is not a file of this directory")
        tensors |= open_weights(directory / name)
    return tensors


def open_weights(path: Path) -> dict[str, StoredTensor]:
    """Open a file of safetensors (`.safetensors`) or `torch.save` (any other suffix).

    The names of nested tables are joined by dots.

    Raises:
        ConfigError: If the file cannot be read, or holds anything but tensors and tables of tensors.
    """
    try:
        return _open_safetensors(path) if path.suffix == ".safetensors" else _open_torch_file(path)
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        # torch's own message is left out, because it advises letting the file execute code.
        raise ConfigError(
            f"{path} cannot be read as tensors: found {describe_content(path)}",
            hint="fetch the file again, whole; it must be of safetensors or of torch.save since torch 1.6",
        ) from error


def _open_safetensors(path: Path) -> dict[str, StoredTensor]:
    file = safe_open(path, framework="pt")
    tensors = {}
    for name in file.keys():  # noqa: SIM118 - not a mapping
        view = file.get_slice(name)
        tensors[name] = StoredTensor(tuple(view.get_shape()), _DTYPES[view.get_dtype()], partial(file.get_tensor, name))
    return tensors


def _open_torch_file(path: Path) -> dict[str, StoredTensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    tensors = {}
    for name, value in _leaves(content, ""):
        if not isinstance(value, Tensor):
            raise ConfigError(f"{path}: {name or 'the content'} is a {type(value).__name__}, expected tensors only")
        tensors[name] = StoredTensor(tuple(value.shape), value.dtype, partial(_itself, value))
    return tensors


def _itself(tensor: Tensor) -> Tensor:
    """Return a tensor that is mapped into memory: its pages are read when they are touched."""
    return tensor


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{name}.{key}" if name else str(key))


def are_equal(left: StoredTensor, right: StoredTensor, num_rows: int = 4096) -> bool:
    """Return whether two tensors hold the same values, comparing `num_rows` rows at a time."""
    if left.shape != right.shape:
        return False
    rows = zip(left.read().split(num_rows), right.read().split(num_rows), strict=True)
    return all(torch.equal(first, second) for first, second in rows)
