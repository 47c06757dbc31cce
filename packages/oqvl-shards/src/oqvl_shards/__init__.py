"""Typed shard manifests, safe WebDataset shards and packed records: the contract between the OQVL packages.

Import the rest from its own module: `oqvl_shards.packed` (packed sequences), `oqvl_shards.image`, `oqvl_shards.uid`,
`oqvl_shards.check`, `oqvl_shards.stage_output` (the life of a stage), `oqvl_shards.webdataset_bridge` (a webdataset
pipeline over any dataset) and `oqvl_shards.run` (the imports).

All names load at first use, so a command line pays only for what it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oqvl_shards.lazy_names import lazy_names

if TYPE_CHECKING:
    from oqvl_shards.config import StageConfig
    from oqvl_shards.dataset import Dataset, open_dataset, write_manifest
    from oqvl_shards.errors import OqvlError
    from oqvl_shards.manifest import Account, Kind, Lineage, Manifest, Shard
    from oqvl_shards.shard_map import map_shards
    from oqvl_shards.tar.reader import ShardReader
    from oqvl_shards.tar.sample import Sample, SampleError
    from oqvl_shards.tar.writer import TarWriter

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

__getattr__ = lazy_names(__name__, __file__)
