"""What a scorer is: something that gives every usable sample of a shard its columns, and every other one a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from oqvl_filter.pool import PoolSample
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.reader import ShardReader

Row = Mapping[str, Any]
"""The values of one sample by column."""


class Scorer(Protocol):
    """Scores the samples of one shard at a time.

    What it gives a sample must not depend on other shards, so that shards can be scored in any order and again.
    """

    @property
    def name(self) -> str:
        """The scorer's name, e.g. `clip`."""
        ...

    @property
    def columns(self) -> tuple[FieldSpec, ...]:
        """What `score_shard` gives: name, Arrow type and meaning of each column."""
        ...

    @property
    def counted(self) -> Mapping[str, str]:
        """Columns that are made of others when all shards are scored.

        `{"image_count": "content_sha"}` makes `image_count`, the number of samples of the whole pool that share the
        sample's `content_sha`.
        """
        ...

    def fingerprint(self) -> str:
        """Return a sha256 of all that decides the scores: weights, pre-processing, number format, rules."""
        ...

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return for each of `samples` its columns, or the reason why it has none."""
        ...
