"""The scorer `custom`: one of the user's own, bound by the dotted path of its factory."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from oqvl_filter.scorers.scorer import BaseScorerConfig, Scorer
from oqvl_shards.binding import bind
from oqvl_shards.tar.sample import ReadLimits


class CustomScorerConfig(BaseScorerConfig):
    """The scorer `custom`: one of your own, an `oqvl_filter.Scorer`."""

    name: Literal["custom"] = Field(description="which scorer: custom")
    # Where its code and files are does not decide the scores; its fingerprint records what does.
    factory: str = Field(
        description="dotted path of the scorer's factory, e.g. my_package.my_module:MyScorer",
        json_schema_extra={"lineage": False},
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="keyword arguments of the factory, e.g. scorer.options.model=PATH",
        json_schema_extra={"lineage": False},
    )

    def build(self, limits: ReadLimits) -> Scorer:
        """Return what the factory makes. It gets no limits: the shard reader that it is given enforces them.

        Raises:
            ConfigError: If there is no such factory, it does not take the options, or it makes something else.
        """
        return bind(self.factory, Scorer, key="scorer.factory", options=self.options, options_key="scorer.options")
