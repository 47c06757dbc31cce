"""Provably tight sequence packing for multimodal training: numba kernels, packed shards, no torch."""

from oqvl_pack.algorithm import Algorithm, Overlong
from oqvl_pack.bounds import LowerBounds
from oqvl_pack.packing import pack
from oqvl_pack.plan import Plan

__all__ = ["Algorithm", "LowerBounds", "Overlong", "Plan", "pack"]
