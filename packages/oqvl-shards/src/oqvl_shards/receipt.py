"""A receipt: a file next to a finished shard until the dataset's manifest is written. A killed stage resumes from it.

A stage that makes its shards in parallel writes `shard-00007.tar` and then `shard-00007.tar.receipt`. The next run of
the same stage skips every shard that has a receipt of its own. When all shards are there, the stage writes the manifest
and removes the receipts.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import Field, ValidationError

from oqvl_shards.atomic import atomic_write
from oqvl_shards.config import Frozen
from oqvl_shards.dataset import describe_file
from oqvl_shards.manifest import Account, Sha256, Shard

RECEIPT_SUFFIX = ".receipt"


class FileIdentity(NamedTuple):
    """The data that distinguishes a file from another file of the same name, and from itself before a change.

    A change that keeps the size goes unnoticed if it also keeps the time of the last change, which some file systems
    store in steps of milliseconds or more.
    """

    inode: int
    num_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileIdentity:
        """Return the identity of the file at `path`."""
        status = path.stat()
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


class Receipt(Frozen):
    """One finished shard, with its future manifest entry."""

    step: Sha256 = Field(description="digest of the lineage of the stage that wrote the shard")
    shard: Shard
    account: Account
    statistics: dict[str, int] = Field(default_factory=dict, description="counts that add up over shards")
    identity: FileIdentity | None = Field(default=None, description="the file that was written; set by write_receipt")

    def is_of(self, path: Path) -> bool:
        """Return whether the file at `path` holds the bytes that the receipt describes.

        The file that `write_receipt` saw is recognised by its identity, without reading it. Any other file is read and
        hashed.
        """
        if not path.is_file():
            return False
        if self.identity == FileIdentity.of(path):
            return True
        return describe_file(path, path.parent, 0).sha256 == self.shard.sha256


def write_receipt(directory: Path, receipt: Receipt) -> Receipt:
    """Write `receipt` next to the shard that it describes, atomically, and return it with the file's identity."""
    identity = FileIdentity.of(directory / receipt.shard.path)
    receipt = receipt.model_copy(update={"identity": identity})
    atomic_write(_receipt_path(directory, receipt.shard.path), receipt.model_dump_json().encode())
    return receipt


def read_receipt(directory: Path, shard_path: str, step: str) -> Receipt | None:
    """Return the receipt of a shard that `step` has finished, or None if the shard has to be written (again)."""
    try:
        receipt = Receipt.model_validate_json(_receipt_path(directory, shard_path).read_bytes())
    except (OSError, ValidationError):
        return None
    return receipt if receipt.step == step and receipt.is_of(directory / shard_path) else None


def remove_receipts(directory: Path) -> None:
    """Remove all receipts in `directory`, once its manifest is written."""
    for path in directory.glob(f"*{RECEIPT_SUFFIX}"):
        path.unlink(missing_ok=True)


def _receipt_path(directory: Path, shard_path: str) -> Path:
    return directory / f"{shard_path}{RECEIPT_SUFFIX}"
