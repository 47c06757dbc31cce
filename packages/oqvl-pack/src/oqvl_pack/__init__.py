"""Provably tight sequence packing for multimodal training: numba kernels, packed shards, no torch.

`pack` is the library: lengths in, plan out. `pack_dataset` and its neighbours are the stages behind the command line.
All names load lazily: the command line answers without numpy, the library packs without a tokenizer.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oqvl_pack.algorithm import Algorithm, Overlong
    from oqvl_pack.bounds import LowerBounds
    from oqvl_pack.config import PackConfig
    from oqvl_pack.packing import pack
    from oqvl_pack.plan import Plan
    from oqvl_pack.report import PackReport, PlanReport
    from oqvl_pack.run import check_dataset, pack_dataset, plan_dataset

__all__ = [
    "Algorithm",
    "LowerBounds",
    "Overlong",
    "PackConfig",
    "PackReport",
    "Plan",
    "PlanReport",
    "check_dataset",
    "pack",
    "pack_dataset",
    "plan_dataset",
]

_MODULE_OF = {
    "Algorithm": "algorithm",
    "LowerBounds": "bounds",
    "Overlong": "algorithm",
    "PackConfig": "config",
    "PackReport": "report",
    "Plan": "plan",
    "PlanReport": "report",
    "check_dataset": "run",
    "pack": "packing",
    "pack_dataset": "run",
    "plan_dataset": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
