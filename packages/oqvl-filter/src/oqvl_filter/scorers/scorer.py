"""The protocol of a scorer: for each sample of a shard it returns the columns, or the reason why it cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from oqvl_shards.config import StageConfig
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec, Manifest
from oqvl_shards.tar.sample import ReadLimits

if TYPE_CHECKING:
    from oqvl_filter.pool import PoolSample
    from oqvl_shards.tar.reader import ShardReader

Row = Mapping[str, Any]
"""The values of one sample by column."""


class Scorer(Protocol):
    """Scores the samples of one shard at a time.

    The result for a sample must not depend on other shards, so that shards can be scored in any order and again.
    """

    @property
    def name(self) -> str:
        """The scorer's name, e.g. `clip`."""
        ...

    @property
    def columns(self) -> tuple[FieldSpec, ...]:
        """The columns that `score_shard` returns: name, Arrow type and meaning of each."""
        ...

    @property
    def counted(self) -> Mapping[str, str]:
        """Columns that are computed from others once all shards are scored.

        `{"image_count": "content_sha"}` adds `image_count`, the number of samples of the whole pool that share the
        sample's `content_sha`.
        """
        ...

    def fingerprint(self) -> str:
        """Return a sha256 of everything that decides the scores: weights, pre-processing, number format, rules."""
        ...

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> Sequence[Row | str]:
        """Return the columns of each of `samples`, or the reason why a sample has none.

        The result for a sample with a `reject` is that reason: it cannot be read.
        """
        ...


class BaseScorerConfig(StageConfig):
    """The base of the built-in scorers' configurations."""

    def build(self, limits: ReadLimits) -> Scorer:
        """Return the scorer.

        Args:
            limits: Caps on what is read from a sample.

        Raises:
            MissingExtraError: If the scorer needs packages that are not installed.
            ConfigError: If a file or a model cannot be loaded.
        """
        raise NotImplementedError

    def parents(self) -> list[Manifest]:
        """Return the manifests of the datasets that the scorer reads in addition to the pool."""
        return []


def fingerprint_of(scorer: Scorer) -> str:
    """Return the scorer's fingerprint.

    Raises:
        ConfigError: If it is not a sha256.
    """
    fingerprint = scorer.fingerprint()
    if not re.fullmatch(r"[0-9a-f]{64}", fingerprint):
        raise ConfigError(
            f"the fingerprint of the scorer {scorer.name} is {fingerprint!r:.80}, expected a sha256 of 64 hex digits",
            hint="for example hashlib.sha256(b'my scorer 1').hexdigest()",
        )
    return fingerprint
