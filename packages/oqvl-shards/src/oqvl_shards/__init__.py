"""Typed shard manifests, safe WebDataset shards and packed records: the contract between the OQVL packages.

Beside the names here: `oqvl_shards.packed` (packed sequences), `oqvl_shards.image`, `oqvl_shards.uid`,
`oqvl_shards.verify`, `oqvl_shards.webdataset_bridge` (a webdataset pipeline over any dataset) and `oqvl_shards.run`
(the imports), each imported by who needs it.
"""

from oqvl_shards.config import StageConfig
from oqvl_shards.errors import OqvlError
from oqvl_shards.manifest import (
    Account,
    Dataset,
    Kind,
    Lineage,
    Manifest,
    Shard,
    open_dataset,
    write_manifest,
)
from oqvl_shards.reader import ShardReader
from oqvl_shards.sample import Sample, SampleError
from oqvl_shards.shard_map import map_shards
from oqvl_shards.tar_writer import TarWriter

__all__ = [
    "Account",
    "Dataset",
    "Kind",
    "Lineage",
    "Manifest",
    "OqvlError",
    "Sample",
    "SampleError",
    "Shard",
    "ShardReader",
    "StageConfig",
    "TarWriter",
    "map_shards",
    "open_dataset",
    "write_manifest",
]
