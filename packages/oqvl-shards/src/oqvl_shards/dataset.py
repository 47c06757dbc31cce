"""A dataset on disk: open it, write its manifest, describe the files that the manifest will name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from oqvl_shards.atomic import atomic_write
from oqvl_shards.errors import DataError, ManifestError
from oqvl_shards.manifest import Kind, Manifest, Shard, parse_manifest

MANIFEST_NAME = "manifest.json"

UNFINISHED_NAME = "unfinished.json"
"""Marks a directory that a stage has begun to write; holds the stage's lineage. Removed after the manifest is written.

Without a manifest next to it, the dataset is not complete.
"""


@dataclass(frozen=True)
class Dataset:
    """A directory together with the manifest read from it."""

    path: Path
    manifest: Manifest

    def shard_path(self, shard: Shard) -> Path:
        """Return the path of `shard`'s file."""
        return self.path / shard.path

    def whole_shard_path(self, shard: Shard) -> Path:
        """Check the size of `shard`'s file, and return its path.

        Without the check, a tar that was cut would be read up to the cut.

        Raises:
            DataError: If the file is missing, or its size is not the one in the manifest.
        """
        path = self.shard_path(shard)
        hint = "it is not the file that the manifest describes: fetch it again, or make the dataset again"
        _check_size(path, shard, hint)
        return path


def open_dataset(directory: Path | str, *kinds: Kind) -> Dataset:
    """Read the manifest of the dataset in `directory`.

    Args:
        directory: The dataset's directory.
        kinds: The kinds that the caller can use. If none is given, every kind is accepted.

    Raises:
        ManifestError: If there is no manifest, or it is malformed, of another schema version, or of another kind.
    """
    directory = Path(directory)
    path = directory / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        if not directory.is_dir():
            hint = "check the path, which starts at the working directory; for foreign data run `oqvl-shards import`"
            raise ManifestError(f"{directory} is not a directory", hint=hint) from error
        raise ManifestError(f"{directory} has no {MANIFEST_NAME}", hint=_what_is_there(directory)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from error
    manifest = parse_manifest(text, where=str(path))
    if kinds and manifest.kind not in kinds:
        expected = " or ".join(kind.value for kind in kinds)
        raise ManifestError(
            f"{path} is of kind {manifest.kind.value}, expected {expected}",
            hint=f"it was made by {manifest.lineage.tool}; name a dataset of kind {expected}, or make one first",
        )
    return Dataset(directory, manifest)


def _what_is_there(directory: Path) -> str:
    """Return a hint: what to do about a directory without a manifest."""
    if (directory / UNFINISHED_NAME).exists():
        return "the run that writes it has not finished, or was stopped: run it again"
    if inner := sorted(path.parent.name for path in directory.glob(f"*/{MANIFEST_NAME}")):
        return f"there is one in {' and in '.join(str(directory / name) for name in inner[:3])}"
    return "name a directory that a command has written; for foreign data run `oqvl-shards import` first"


def write_manifest(directory: Path | str, manifest: Manifest) -> Dataset:
    """Write `manifest` to `directory`, atomically. Every shard that it names must already be there.

    Raises:
        DataError: If a shard's file is missing, or its size is not the one in the manifest.
    """
    directory = Path(directory)
    for shard in manifest.shards:
        _check_size(directory / shard.path, shard)
    atomic_write(directory / MANIFEST_NAME, manifest.canonical_bytes())
    return Dataset(directory, manifest)


def _check_size(path: Path, shard: Shard, hint: str = "") -> None:
    """Raise unless the file at `path` has the size of `shard`."""
    size = path.stat().st_size if path.is_file() else None
    if size != shard.num_bytes:
        what_is_there = "no file" if size is None else f"{size:,} bytes"
        raise DataError(f"{path}: found {what_is_there}, expected {shard.num_bytes:,} bytes", hint=hint)


def describe_file(path: Path, relative_to: Path, num_samples: int) -> Shard:
    """Return the manifest entry of a file on disk. The file is read once, for its sha256.

    Args:
        path: The file.
        relative_to: The dataset's directory.
        num_samples: Number of samples in the file.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
        size = file.tell()
    relative = path.relative_to(relative_to).as_posix()
    return Shard(path=relative, num_samples=num_samples, num_bytes=size, sha256=digest.hexdigest())


def describe_bytes(data: bytes | memoryview, path: str, num_samples: int) -> Shard:
    """Return the manifest entry of a file with the content `data`, at `path` below the dataset's directory."""
    return Shard(path=path, num_samples=num_samples, num_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
