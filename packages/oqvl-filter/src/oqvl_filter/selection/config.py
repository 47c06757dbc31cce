"""The configuration of `select`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from oqvl_filter.paths import LabelledPaths
from oqvl_shards.config import Paths, StageConfig


class TokenCount(StageConfig):
    """How many tokens a pair counts as: `fixed` + ceil(`per_value` x the value of `column`)."""

    column: str = Field(default="caption_chars", description="column that holds the length of the text")
    # English captions have about four characters per token in the vocabularies of current language models.
    per_value: float = Field(
        default=0.25,
        ge=0,
        description="tokens per unit of the column: 1 if it counts tokens, 0.25 if it counts characters",
    )
    fixed: int = Field(
        default=147,
        ge=0,
        description="tokens that every pair has in addition to its text: 144 visual tokens and three marks",
    )


class Balance(StageConfig):
    """MetaCLIP's balancing (Xu et al., 2023, arXiv 2309.16671): no entry of a list of metadata dominates."""

    column: str = Field(
        default="",
        description="column with the metadata entries of each caption, from the scorer metadata; empty: no balancing",
    )
    cap: int = Field(
        default=20_000,
        gt=0,
        description="a pair is kept with probability cap / count of one of its entries, at most 1",
    )


class SelectConfig(StageConfig):
    """Configuration of `select`."""

    keep: str = Field(
        default="all",
        description="the rule, e.g. clip >= 0.28 and su >= 85 or uid in 'dfn.npy' then one per rules.content_sha; "
        "docs/selecting.md describes the language",
    )
    pools: Paths = Field(
        default=(),
        description="datasets of kind image_text to select from; none: the uids in the scores, or else in the subsets",
        json_schema_extra={"lineage": False},
    )
    scores: LabelledPaths = Field(
        default={},
        description="datasets of kind scores, each under a label of your choice: scores.LABEL=PATH; a label may have "
        "several datasets that score several pools",
        json_schema_extra={"lineage": False},
    )
    output: Path = Field(description="directory of the subset", json_schema_extra={"lineage": False})
    balance: Balance = Field(default=Balance(), description="applied to what the rule keeps")
    quotas: dict[str, int] = Field(
        default={}, description="maximum number of pairs to keep per source (a pool's name): quotas.NAME=COUNT"
    )
    weights: dict[str, float] = Field(
        default={}, description="share of the budget that each source gets, in any unit: weights.NAME=WEIGHT"
    )
    pairs: int | None = Field(
        default=None, gt=0, description="keep exactly this many pairs, or all if there are fewer; unset: no budget"
    )
    tokens: float | None = Field(
        default=None, gt=0, description="keep as many pairs as fit into this many tokens; unset: no budget"
    )
    token_count: TokenCount = Field(default=TokenCount(), description="how the tokens of a pair are counted")
    prefer: str = Field(
        default="",
        description="column whose highest values quotas and budgets take first; empty: in the order of the uid's hash",
    )
    seed: int = Field(default=0, ge=0, lt=1 << 64, description="seed of the hash that orders equal values")
    cache: Path | None = Field(
        default=None,
        description="directory that keeps score columns for later selections, which then take a fraction of the time; "
        "it may be deleted at any time; unset: no cache",
        json_schema_extra={"lineage": False},
    )

    @model_validator(mode="after")
    def _has_one_budget(self) -> Self:
        if self.pairs is not None and self.tokens is not None:
            raise ValueError("found both pairs and tokens, expected at most one budget")
        if self.weights and self.pairs is None and self.tokens is None:
            raise ValueError("weights divide a budget: give pairs or tokens, or use quotas")
        if any(quota < 0 for quota in self.quotas.values()) or any(not 0 <= w < 1e18 for w in self.weights.values()):
            raise ValueError("quotas and weights must be numbers from 0 up")
        return self
