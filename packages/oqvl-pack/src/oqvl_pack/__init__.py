"""Provably tight sequence packing for multimodal training: numba kernels, packed shards, no torch.

`pack` is the library: lengths in, plan out. `pack_dataset` and its neighbours are the stages behind the command line.
All names load lazily: the command line answers without numpy, the library packs without a tokenizer.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oqvl_pack.binpacking.algorithm import Algorithm, Overlong
    from oqvl_pack.binpacking.balance import Imbalance, balanced_order, imbalance
    from oqvl_pack.binpacking.bounds import LowerBounds
    from oqvl_pack.binpacking.packing import pack
    from oqvl_pack.binpacking.plan import Plan
    from oqvl_pack.binpacking.splitting import Pieces, Span
    from oqvl_pack.binpacking.streaming import StreamingPacker
    from oqvl_pack.config import PackConfig
    from oqvl_pack.report import PackReport, PlanReport
    from oqvl_pack.run import check_dataset, pack_dataset, plan_dataset

__all__ = [
    "Algorithm",
    "Imbalance",
    "LowerBounds",
    "Overlong",
    "PackConfig",
    "PackReport",
    "Pieces",
    "Plan",
    "PlanReport",
    "Span",
    "StreamingPacker",
    "balanced_order",
    "check_dataset",
    "imbalance",
    "pack",
    "pack_dataset",
    "plan_dataset",
]

_MODULE_OF = {
    "Algorithm": "binpacking.algorithm",
    "Imbalance": "binpacking.balance",
    "LowerBounds": "binpacking.bounds",
    "Overlong": "binpacking.algorithm",
    "PackConfig": "config",
    "PackReport": "report",
    "Pieces": "binpacking.splitting",
    "Plan": "binpacking.plan",
    "PlanReport": "report",
    "Span": "binpacking.splitting",
    "StreamingPacker": "binpacking.streaming",
    "balanced_order": "binpacking.balance",
    "check_dataset": "run",
    "imbalance": "binpacking.balance",
    "pack": "binpacking.packing",
    "pack_dataset": "run",
    "plan_dataset": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
