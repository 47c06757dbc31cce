"""How much of each source is packed: shares and budgets, and which documents that makes.

The documents of a source are put into a random order, given by the seed and the source's place in the mixture, and
taken from its beginning; what a token budget then lacks is made up from later documents that fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.config import MixturePart, PackConfig
from oqvl_pack.shuffle import permutation, start_of
from oqvl_shards.errors import ConfigError

LEFT_OUT = "left_out_by_budget"
"""Reason under which the documents that a share or budget leaves out are counted."""


def choose_documents(
    lengths: Sequence[NDArray[np.integer]], parts: Sequence[MixturePart], seed: int
) -> list[NDArray[np.bool_] | None]:
    """Decide which documents of each source are packed.

    Args:
        lengths: Expanded lengths in tokens of each source's documents.
        parts: What is wanted of each source.
        seed: Seed of the order.

    Returns:
        For each source whether each of its documents is packed; None where all are.

    Raises:
        ConfigError: When a source has fewer documents or tokens than are wanted of it.
    """
    budgets = _token_budgets([int(one.sum()) for one in lengths], parts)
    return [
        _choose(one, part, budget, start_of(seed) + index)
        for index, (one, part, budget) in enumerate(zip(lengths, parts, budgets, strict=True))
    ]


def _token_budgets(totals: Sequence[int], parts: Sequence[MixturePart]) -> list[int | None]:
    """Return the tokens to take of each source; None for those that are not measured in tokens.

    The weighted sources together are as large as they can be with these shares: the one that is shortest for its
    weight is packed whole.
    """
    empty = [part.source for total, part in zip(totals, parts, strict=True) if part.weight is not None and not total]
    if empty:
        raise ConfigError(f"mixture: {empty[0]} has a weight, but holds no document that can be packed")
    weighted = [total / part.weight for total, part in zip(totals, parts, strict=True) if part.weight is not None]
    tokens_per_weight = min(weighted, default=0.0)
    return [
        part.num_tokens if part.weight is None else min(total, round(part.weight * tokens_per_weight))
        for total, part in zip(totals, parts, strict=True)
    ]


def _choose(lengths: NDArray[np.integer], part: MixturePart, budget: int | None, seed: int) -> NDArray[np.bool_] | None:
    if part.num_samples is None and budget is None:
        return None
    available = len(lengths) if budget is None else int(lengths.sum())
    wanted = part.num_samples if budget is None else budget
    assert wanted is not None
    if wanted > available:
        what = "num_samples" if budget is None else "num_tokens"
        raise ConfigError(
            f"mixture: {what} is {wanted:,}, but {part.source} has {available:,} that can be packed",
            hint="ask for less, or leave it out to take all; a document is never used twice",
        )
    order = permutation(len(lengths), seed)
    is_chosen = np.zeros(len(lengths), dtype=np.bool_)
    if budget is None:
        is_chosen[order[:wanted]] = True
        return is_chosen
    lengths_in_order = lengths[order].astype(np.int64)
    num_first = int(np.searchsorted(np.cumsum(lengths_in_order), wanted, side="right"))
    is_chosen[order[:num_first]] = True
    missing = wanted - int(lengths_in_order[:num_first].sum())
    while (fitting := np.flatnonzero((lengths_in_order <= missing) & ~is_chosen[order])[:1]).size:
        is_chosen[order[fitting]] = True
        missing -= int(lengths_in_order[fitting[0]])
    return is_chosen


def choose_by_shard(
    lengths: Sequence[NDArray[np.integer]], source_of_shard: Sequence[int], config: PackConfig
) -> list[NDArray[np.bool_] | None]:
    """Decide which documents of each source shard are packed; see `choose_documents`.

    Args:
        lengths: Expanded lengths in tokens of each shard's documents.
        source_of_shard: Index of each shard's source; shards of one source follow one another.
        config: The mixture and the seed.
    """
    shards_of_source: list[list[int]] = [[] for _ in config.parts]
    for shard, source in enumerate(source_of_shard):
        shards_of_source[source].append(shard)
    of_source = [
        np.concatenate([np.zeros(0, dtype=np.int64), *(lengths[shard] for shard in shards)])
        for shards in shards_of_source
    ]
    chosen: list[NDArray[np.bool_] | None] = [None] * len(lengths)
    for shards, is_chosen in zip(shards_of_source, choose_documents(of_source, config.parts, config.seed), strict=True):
        if is_chosen is not None and shards:
            ends = np.cumsum([len(lengths[shard]) for shard in shards])
            for shard, part in zip(shards, np.split(is_chosen, ends[:-1]), strict=True):
                chosen[shard] = part
    return chosen
