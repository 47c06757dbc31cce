"""Provably tight sequence packing for multimodal training: numba kernels, packed shards, no torch.

`pack` is the library: lengths in, plan out. `pack_dataset` and its neighbours are the stages behind the command line.

    binpacking/   the library; needs numpy only, and runs faster with numba
    documents/    from samples to token sequences; shares and budgets of a mixture
    corpus/       all documents of all sources, packed shard by shard and written by several workers
    run           the stages as lists of steps

All names load lazily, so the command line answers without numpy, and the library packs without a tokenizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oqvl_shards.lazy_names import lazy_names

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

__getattr__ = lazy_names(__name__, __file__)
