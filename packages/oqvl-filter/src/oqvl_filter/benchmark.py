"""The pictures of evaluation data: those of a dataset of kind `benchmark`, in order, each with a name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from oqvl_shards.dataset import Dataset
from oqvl_shards.errors import DataError


def benchmark_pictures(benchmark: Dataset) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the file content of every picture of a benchmark's items.

    The name is the item's id. If an item has several pictures, the name of its second one ends in `#2`, and so on.

    Raises:
        DataError: If a file is damaged.
    """
    for shard in benchmark.manifest.shards:
        path: Path = benchmark.shard_path(shard)
        try:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    for row in file.read_row_group(group, columns=["item_id", "images"]).to_pylist():
                        yield from _pictures_of(row["item_id"], [image["bytes"] for image in row["images"] or ()])
        except (OSError, KeyError, pa.ArrowException) as error:
            raise DataError(f"{path} is not a readable file of benchmark items: {error}") from error


def _pictures_of(item_id: str, contents: list[bytes | None]) -> Iterator[tuple[str, bytes]]:
    for number, content in enumerate(contents, start=1):
        if content:
            yield (item_id if number == 1 else f"{item_id}#{number}"), content
