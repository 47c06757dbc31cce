"""What a scorer is: something that gives every usable sample of a shard its columns, and every other one a reason.

A configuration binds one of your own by the dotted path of its factory: `scorer.name=custom scorer.factory=...`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from oqvl_filter.judges.judge import make_bound
from oqvl_filter.pool import PoolSample
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.tar.reader import ShardReader

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

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> Sequence[Row | str]:
        """Return for each of `samples` its columns, or the reason why it has none.

        A sample with a `reject` cannot be read; the reason is that.
        """
        ...


def bind_scorer(path: str, options: Mapping[str, Any]) -> Scorer:
    """Call the factory of a scorer at the dotted path `package.module:factory` with `options`.

    Raises:
        ConfigError: When there is no such factory, it does not take the options, or what it makes is no scorer.
    """
    scorer = make_bound("scorer.factory", path, options, "scorer.options")
    expected = ("columns", "counted", "fingerprint", "name", "score_shard")
    missing = [name for name in expected if name not in dir(scorer)]
    if missing:
        raise ConfigError(
            f"scorer.factory={path!r} makes a {type(scorer).__name__} without {', '.join(missing)}",
            hint="it makes an oqvl_filter.Scorer: an object with " + ", ".join(expected),
        )
    return scorer


def fingerprint_of(scorer: Scorer) -> str:
    """Return the scorer's fingerprint.

    Raises:
        ConfigError: When it is no sha256.
    """
    found = scorer.fingerprint()
    if not re.fullmatch(r"[0-9a-f]{64}", found):
        raise ConfigError(
            f"the fingerprint of the scorer {scorer.name} is {found!r:.80}, expected a sha256 of 64 hex digits",
            hint="for example hashlib.sha256(b'my scorer 1').hexdigest()",
        )
    return found
