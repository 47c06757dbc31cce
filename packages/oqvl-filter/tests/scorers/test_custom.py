from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from oqvl_filter.scorers.custom import CustomScorerConfig
from oqvl_shards.errors import ConfigError
from oqvl_shards.tar.sample import ReadLimits


class Loud:
    """A scorer whose columns are known once it is loaded."""

    name = "loud"
    counted: Mapping[str, str] = {}

    def __init__(self, volume: int = 1) -> None:
        self.volume = volume

    @property
    def columns(self):
        raise RuntimeError("loads a model")

    def fingerprint(self) -> str:
        return hashlib.sha256(str(self.volume).encode()).hexdigest()

    def score_shard(self, reader, samples):
        return [{} for _ in samples]


def build(factory: str, **options):
    return CustomScorerConfig(name="custom", factory=factory, options=options).build(ReadLimits())


def test_binding_a_scorer_loads_nothing():
    assert build(f"{__name__}:Loud", volume=3).fingerprint() == Loud(3).fingerprint()


def test_an_option_that_it_does_not_take_shows_its_signature():
    with pytest.raises(ConfigError, match=r"does not take the options \['pitch'\]") as error:
        build(f"{__name__}:Loud", pitch=1)
    assert "volume" in error.value.hint and "scorer.options.NAME=VALUE" in error.value.hint


def test_where_code_is_does_not_decide_the_scores():
    one, other = (CustomScorerConfig(name="custom", factory=path, options={"a": 1}) for path in ("a:b", "c:d"))
    assert one.digest() == other.digest()
