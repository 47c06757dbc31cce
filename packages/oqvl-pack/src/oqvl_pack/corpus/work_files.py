"""Tokenised shards in `work/` below the output directory, from which a killed run resumes.

A file belongs to one step, identified by the digest of its lineage. A damaged file, or one of another step, is ignored
and written again. The directory is scratch: it is removed when the manifest is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.documents.document_table import DocumentTable
from oqvl_pack.documents.drafting import ShardDocuments
from oqvl_shards.atomic import atomic_open

WORK_DIRECTORY = "work"


def save_work(output: Path, shard_index: int, step: str, work: ShardDocuments) -> None:
    """Write the documents of the source shard with index `shard_index`, atomically."""
    columns: dict[str, NDArray] = {
        "step": np.array(step),
        **_count_columns("rejected", work.rejected),
        **_count_columns("statistics", work.statistics),
        **work.table.columns(),
    }
    with atomic_open(_work_path(output, shard_index)) as file:
        np.savez(file, allow_pickle=False, **columns)


def load_work(output: Path, shard_index: int, step: str) -> ShardDocuments | None:
    """Return what `save_work` wrote for this shard and step, or None if there is no such file or it is damaged."""
    path = _work_path(output, shard_index)
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = dict(file)
        work = ShardDocuments(
            table=DocumentTable.from_columns(columns),
            rejected=_counts(columns, "rejected"),
            statistics=_counts(columns, "statistics"),
        )
    except Exception:  # zipfile and numpy raise a dozen unrelated types on a damaged file; every column has a checksum
        return None
    return work if str(columns["step"]) == step else None


def _count_columns(name: str, counts: Mapping[str, int]) -> dict[str, NDArray]:
    return {
        f"{name}_names": np.array(list(counts), dtype=np.str_),
        f"{name}_counts": np.array(list(counts.values()), dtype=np.int64),
    }


def _counts(columns: Mapping[str, NDArray], name: str) -> dict[str, int]:
    return dict(zip(columns[f"{name}_names"].tolist(), columns[f"{name}_counts"].tolist(), strict=True))


def _work_path(output: Path, shard_index: int) -> Path:
    return output / WORK_DIRECTORY / f"{shard_index:05d}.npz"
