"""Decide by shares and budgets how much of each source to pack, and choose its documents.

The documents of a source are put in a random order and taken from its beginning. `budget` then fills the rest of a
token budget. A document's place in the order is a hash of its uid, the seed and the source's place in the mixture. So
the choice does not depend on which shard holds a document, and it stays nearly the same when shards are added or
removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oqvl_pack.binpacking.shuffle import mix, start_of
from oqvl_pack.config import MixturePart, PackConfig
from oqvl_pack.documents.budget import fill_budget
from oqvl_shards.errors import ConfigError

LEFT_OUT = "left_out_by_budget"
"""The reason for documents that a share or budget leaves out."""


@dataclass(frozen=True)
class Choice:
    """The documents that a mixture packs.

    Args:
        is_chosen: For each source (or source shard), bool [D]: whether each of its documents is packed. None for all.
        token_budgets: For each source, the tokens that its share or `num_tokens` asks for; None without either.
    """

    is_chosen: list[NDArray[np.bool_] | None]
    token_budgets: list[int | None]


def choose_documents(
    lengths: Sequence[NDArray[np.integer]],
    uids: Sequence[NDArray[np.uint64]],
    parts: Sequence[MixturePart],
    seed: int,
) -> Choice:
    """Decide which documents of each source are packed.

    Args:
        lengths: Expanded lengths in tokens of each source's documents.
        uids: The low 64 bits of their uids. They are not used for sources that are packed whole.
        parts: How much of each source the mixture asks for.
        seed: Seed of the order.

    Raises:
        ConfigError: If a source has fewer documents or tokens than the mixture asks of it.
    """
    budgets = _token_budgets([int(source_lengths.sum()) for source_lengths in lengths], parts)
    is_chosen = [
        None if part.is_whole else _choose(source_lengths, source_uids, part, budget, start_of(seed) + index)
        for index, (source_lengths, source_uids, part, budget) in enumerate(
            zip(lengths, uids, parts, budgets, strict=True)
        )
    ]
    return Choice(is_chosen, budgets)


def _token_budgets(totals: Sequence[int], parts: Sequence[MixturePart]) -> list[int | None]:
    """Return the number of tokens to take from each source; None for sources not measured in tokens.

    The weighted sources contribute as much as their shares allow: the source that is smallest for its weight is packed
    whole.
    """
    empty = [part.source for total, part in zip(totals, parts, strict=True) if part.weight is not None and not total]
    if empty:
        raise ConfigError(
            f"mixture: {empty[0]} has a weight, but none of its documents can be packed",
            hint="remove it from the mixture, or run plan to see why its samples are rejected",
        )
    weighted = [total / part.weight for total, part in zip(totals, parts, strict=True) if part.weight is not None]
    tokens_per_weight = min(weighted, default=0.0)
    return [
        part.num_tokens if part.weight is None else min(total, round(part.weight * tokens_per_weight))
        for total, part in zip(totals, parts, strict=True)
    ]


def _choose(
    lengths: NDArray[np.integer], uids: NDArray[np.uint64], part: MixturePart, budget: int | None, seed: int
) -> NDArray[np.bool_]:
    """Choose documents of one source.

    Args:
        lengths: [D], expanded lengths in tokens.
        uids: uint64 [D].
        part: How much of the source the mixture asks for.
        budget: Tokens to take; None if `part.num_samples` counts documents instead.
        seed: Seed of the order.

    Raises:
        ConfigError: If the source has less than that.
    """
    available = len(lengths) if budget is None else int(lengths.sum())
    wanted = part.num_samples if budget is None else budget
    assert wanted is not None
    if wanted > available:
        field = "num_samples" if budget is None else "num_tokens"
        raise ConfigError(
            f"mixture: {field} is {wanted:,}, but only {available:,} of {part.source} can be packed",
            hint=f"ask for fewer, or leave out {field} to take all; no document is used twice",
        )
    order = np.argsort(mix(uids, seed), kind="stable")  # documents with the same uid keep the order of the source
    is_chosen = np.zeros(len(lengths), dtype=np.bool_)
    is_chosen[order] = np.arange(len(order)) < wanted if budget is None else fill_budget(lengths[order], wanted)
    return is_chosen


def choose_by_shard(
    lengths: Sequence[NDArray[np.integer]],
    uids: Sequence[NDArray[np.uint64]],
    source_of_shard: Sequence[int],
    config: PackConfig,
) -> Choice:
    """Decide which documents of each source shard are packed; see `choose_documents`.

    Args:
        lengths: Expanded lengths in tokens of each shard's documents.
        uids: The low 64 bits of their uids.
        source_of_shard: Index of each shard's source; the shards of a source are consecutive.
        config: The mixture and the seed.

    Raises:
        ConfigError: If a source has fewer documents or tokens than the mixture asks of it.
    """
    shards_of_source: list[list[int]] = [[] for _ in config.mixture_parts]
    for shard, source in enumerate(source_of_shard):
        shards_of_source[source].append(shard)
    choice = choose_documents(
        [_join([lengths[shard] for shard in shards], np.int64) for shards in shards_of_source],
        [_join([uids[shard] for shard in shards], np.uint64) for shards in shards_of_source],
        config.mixture_parts,
        config.seed,
    )
    # Split the choice of each source by shard again.
    is_chosen_by_shard: list[NDArray[np.bool_] | None] = [None] * len(lengths)
    for shards, is_chosen in zip(shards_of_source, choice.is_chosen, strict=True):
        if is_chosen is not None and shards:
            ends = np.cumsum([len(lengths[shard]) for shard in shards])
            for shard, shard_choice in zip(shards, np.split(is_chosen, ends[:-1]), strict=True):
                is_chosen_by_shard[shard] = shard_choice
    return Choice(is_chosen_by_shard, choice.token_budgets)


def _join(arrays: Sequence[NDArray], dtype: type[np.integer]) -> NDArray:
    return np.concatenate([np.zeros(0, dtype=dtype), *arrays])
