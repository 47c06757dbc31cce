"""What a killed run leaves behind for the next one: tokenised shards, in `work/` below the output directory.

A file belongs to one step (the digest of its lineage); a file of another step is made again. The directory is removed
when the manifest is written.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.division import ShardDivision
from oqvl_pack.documents import DocumentTable
from oqvl_shards.atomic import atomic_open

WORK_DIRECTORY = "work"


@dataclass(frozen=True)
class ShardWork:
    """What is known about one source shard once it is tokenised.

    Args:
        table: Its documents.
        division: Which of them it packs alone.
        rejected: Samples left out, by reason.
    """

    table: DocumentTable
    division: ShardDivision
    rejected: dict[str, int]


def save_work(output: Path, shard_index: int, step: str, work: ShardWork) -> None:
    """Write `work` for the source shard with index `shard_index`, atomically."""
    columns: dict[str, NDArray] = {
        "step": np.array(step),
        "reject_reasons": np.array(list(work.rejected), dtype=np.str_),
        "reject_counts": np.array(list(work.rejected.values()), dtype=np.int64),
        "pack_documents": work.division.documents,
        "pack_offsets": work.division.offsets,
        "leftovers": work.division.leftovers,
        **work.table.columns(),
    }
    with atomic_open(_work_path(output, shard_index)) as file:
        np.savez(file, allow_pickle=False, **columns)


def load_work(output: Path, shard_index: int, step: str) -> ShardWork | None:
    """Return what `save_work` wrote for the same step; None when there is nothing."""
    path = _work_path(output, shard_index)
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:
        if str(file["step"]) != step:
            return None
        columns = dict(file)
    return ShardWork(
        table=DocumentTable.from_columns(columns),
        division=ShardDivision(columns["pack_documents"], columns["pack_offsets"], columns["leftovers"]),
        rejected=dict(zip(columns["reject_reasons"].tolist(), columns["reject_counts"].tolist(), strict=True)),
    )


def remove_work(output: Path) -> None:
    """Remove the work directory, after the manifest is written."""
    shutil.rmtree(output / WORK_DIRECTORY, ignore_errors=True)


def _work_path(output: Path, shard_index: int) -> Path:
    return output / WORK_DIRECTORY / f"{shard_index:05d}.npz"
