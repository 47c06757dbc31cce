"""Provably tight sequence packing for multimodal training: numba kernels, packed shards, no torch.

`pack` is the library: lengths in, plan out. `pack_dataset` and its neighbours are the stages behind the command line.
All names load lazily: the command line answers without numpy, the library packs without a tokenizer.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oqvl_pack.algorithm import Algorithm, Overlong
    from oqvl_pack.balance import Imbalance, balanced_order, imbalance
    from oqvl_pack.bounds import LowerBounds
    from oqvl_pack.config import PackConfig
    from oqvl_pack.packing import pack
    from oqvl_pack.pieces import Pieces, Span
    from oqvl_pack.plan import Plan
    from oqvl_pack.report import PackReport, PlanReport
    from oqvl_pack.run import check_dataset, pack_dataset, plan_dataset
    from oqvl_pack.streaming import StreamingPacker

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
    "Algorithm": "algorithm",
    "Imbalance": "balance",
    "LowerBounds": "bounds",
    "Overlong": "algorithm",
    "PackConfig": "config",
    "PackReport": "report",
    "Pieces": "pieces",
    "Plan": "plan",
    "PlanReport": "report",
    "Span": "pieces",
    "StreamingPacker": "streaming",
    "balanced_order": "balance",
    "check_dataset": "run",
    "imbalance": "balance",
    "pack": "packing",
    "pack_dataset": "run",
    "plan_dataset": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
