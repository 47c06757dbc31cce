"""Identify a model's weights by their content: from its files without loading it, or from its tensors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from oqvl_shards.dataset import MANIFEST_NAME

if TYPE_CHECKING:
    import torch


def digest_file(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_directory(directory: Path) -> str:
    """Return a sha256 of the names and bytes of all files in `directory`, except a manifest and hidden files."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and name != MANIFEST_NAME and not any(part.startswith(".") for part in Path(name).parts):
            digest.update(f"{name} {digest_file(path)}\n".encode())
    return digest.hexdigest()


def digest_weights(model: torch.nn.Module) -> str:
    """Return a sha256 of the names, types, shapes and bytes of all parameters and buffers of `model`."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
