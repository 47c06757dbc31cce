"""Typed shard manifests, safe WebDataset shards and packed records: the contract between the OQVL packages.

Beside the names here: `oqvl_shards.packed` (packed sequences), `oqvl_shards.image`, `oqvl_shards.uid`,
`oqvl_shards.check`, `oqvl_shards.webdataset_bridge` (a webdataset pipeline over any dataset) and `oqvl_shards.run`
(the imports), each imported by who needs it.

All names load lazily, so that a command line pays only for what it runs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_MODULE_OF = {
    "Account": "manifest",
    "Dataset": "dataset",
    "Kind": "manifest",
    "Lineage": "manifest",
    "Manifest": "manifest",
    "OqvlError": "errors",
    "Sample": "tar.sample",
    "SampleError": "tar.sample",
    "Shard": "manifest",
    "ShardReader": "tar.reader",
    "StageConfig": "config",
    "TarWriter": "tar.writer",
    "map_shards": "shard_map",
    "open_dataset": "dataset",
    "write_manifest": "dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
