"""A cache that keeps the outputs of a frozen vision tower from one epoch to the next.

A frozen tower always gives the same features for the same pack. Features are computed one pack at a time, for any
micro-batch size. Cached features therefore equal fresh ones to the last bit, and a resumed run equals an uninterrupted
one. Nothing is evicted: once the cache is full, the features of further packs are computed every time.

Shape suffixes: I images, P features per image, D tower width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class FeatureCache:
    """The features of whole packs, by pack id.

    Args:
        max_bytes: Bytes that all features together may take, on the device where they were computed.
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
        """Keep a pack's features if they fit into the bytes that are left."""
        size = features_IPD.nbytes
        if pack_id not in self._features and size <= self._bytes_left:
            self._features[pack_id] = features_IPD
            self._bytes_left -= size
