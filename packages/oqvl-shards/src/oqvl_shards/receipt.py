"""What a finished shard leaves beside itself until the dataset's manifest is written, so that a killed step resumes.

A step that makes its shards in parallel writes `shard-00007.tar` and then `shard-00007.tar.receipt`. Its next run skips
every shard whose receipt comes from the same step; when all are there it writes the manifest and removes the receipts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import Field, ValidationError

from oqvl_shards.atomic import atomic_write
from oqvl_shards.config import Frozen
from oqvl_shards.manifest import Account, Lineage, Sha256, Shard

RECEIPT_SUFFIX = ".receipt"


class Receipt(Frozen):
    """One finished shard: what the manifest will say about it."""

    step: Sha256 = Field(description="digest of the lineage of the step that wrote the shard")
    shard: Shard
    account: Account
    statistics: dict[str, int] = Field(default_factory=dict, description="counts that add up over shards")


def step_digest(lineage: Lineage) -> str:
    """Return the sha256 (64 hex digits) that tells this step from one with another version, configuration or input."""
    return hashlib.sha256(lineage.model_dump_json().encode()).hexdigest()


def write_receipt(directory: Path, receipt: Receipt) -> None:
    """Write `receipt` beside the shard that it describes, atomically."""
    atomic_write(_receipt_path(directory, receipt.shard.path), receipt.model_dump_json().encode())


def read_receipt(directory: Path, shard_path: str, step: str) -> Receipt | None:
    """Return the receipt of a shard that `step` has finished; None when the shard has to be made (again)."""
    try:
        receipt = Receipt.model_validate_json(_receipt_path(directory, shard_path).read_bytes())
        size = (directory / shard_path).stat().st_size
    except (OSError, ValidationError):
        return None
    return receipt if receipt.step == step and receipt.shard.num_bytes == size else None


def remove_receipts(directory: Path) -> None:
    """Remove all receipts in `directory`, once its manifest is written."""
    for path in directory.glob(f"*{RECEIPT_SUFFIX}"):
        path.unlink()


def _receipt_path(directory: Path, shard_path: str) -> Path:
    return directory / f"{shard_path}{RECEIPT_SUFFIX}"
