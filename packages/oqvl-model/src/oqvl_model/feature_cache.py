"""Outputs of a frozen vision tower, kept from one epoch to the next.

A frozen tower gives the same features for the same pack every time. Features are computed a pack at a time, whatever
the size of the micro-batch, so a cached one equals a fresh one to the last bit and a resumed run equals an
uninterrupted one. Nothing is evicted: when the cache is full, further packs are computed anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class FeatureCache:
    """Features of whole packs by pack id.

    Args:
        max_bytes: What the features may take together, on the device where they were computed.
    """

    def __init__(self, max_bytes: int) -> None:
        self._bytes_left = max_bytes
        self._features: dict[int, Tensor] = {}

    def __contains__(self, pack_id: int) -> bool:
        return pack_id in self._features

    def __getitem__(self, pack_id: int) -> Tensor:
        """Return the features [I, P, D] of the pack's images."""
        return self._features[pack_id]

    def add(self, pack_id: int, features_IPD: Tensor) -> None:
        """Keep the features of a pack if there is room for them."""
        size = features_IPD.nbytes
        if pack_id not in self._features and size <= self._bytes_left:
            self._features[pack_id] = features_IPD
            self._bytes_left -= size
