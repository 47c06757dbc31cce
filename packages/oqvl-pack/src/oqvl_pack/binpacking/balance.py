"""Cost-balanced order: arrange packs to give all ranks, and all global batches, about the same cost.

A global batch is `num_ranks * packs_per_rank` consecutive packs. Rank r takes the packs r, r + `num_ranks`, and so on,
so `num_ranks` neighbours are computed at the same time. Each pack has one or more costs, such as tokens and vision
work, and every cost is balanced.

Packs are dealt like cards. They are sorted by cost and cut into rounds of equally expensive packs, one per batch. In
each round the batch with the lowest cost so far gets the most expensive pack. The packs of every batch are then dealt
to its ranks in the same way, so packs that are computed at the same time cost about the same. This is the greedy rule
of Graham, *Bounds on multiprocessing timing anomalies* (SIAM Journal on Applied Mathematics 17, 1969), with the same
number of packs for each.

The trade-off: with one pack per rank there is nothing to choose within a batch. Equal ranks would then mean unequal
batches, and the batches are kept equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oqvl_pack.binpacking.arguments import integer, whole_number
from oqvl_pack.binpacking.shuffle import mix, permutation
from oqvl_shards.errors import DataError


@dataclass(frozen=True)
class Imbalance:
    """The inequality of the costs in an order of packs; 0.0 means equal. A last, incomplete batch is not counted.

    Args:
        across_ranks: For each cost, the mean over global batches of (cost of the most expensive rank / mean cost of the
            ranks - 1): how long ranks wait for the slowest, relative to their work.
        across_batches: For each cost, cost of the most expensive global batch / mean cost of a batch - 1.
    """

    across_ranks: tuple[float, ...]
    across_batches: tuple[float, ...]


def imbalance(costs: ArrayLike, *, num_ranks: SupportsIndex, packs_per_rank: SupportsIndex = 1) -> Imbalance:
    """Measure how unequal the costs of packs are in their order.

    Args:
        costs: [B] or [B, D], not negative: D costs of each pack.
        num_ranks: Ranks that share a global batch.
        packs_per_rank: Packs per rank and global batch.

    Raises:
        ConfigError: If `num_ranks` or `packs_per_rank` is not an integer of at least 1.
        DataError: If a cost is negative or not finite.
    """
    num_ranks, packs_per_rank = _checked_shape(num_ranks, packs_per_rank)
    table = _as_table(costs)
    num_batches = len(table) // (num_ranks * packs_per_rank)
    whole = table[: num_batches * num_ranks * packs_per_rank]
    by_rank = whole.reshape(num_batches, packs_per_rank, num_ranks, table.shape[1]).sum(axis=1)
    by_batch = by_rank.sum(axis=1, keepdims=True)
    across_ranks = _excess(by_rank).mean(axis=0) if num_batches else np.zeros(table.shape[1])
    across_batches = _excess(by_batch.swapaxes(0, 1))[0] if num_batches else np.zeros(table.shape[1])
    return Imbalance(tuple(across_ranks.tolist()), tuple(across_batches.tolist()))


def balanced_order(
    costs: ArrayLike, *, num_ranks: SupportsIndex, packs_per_rank: SupportsIndex = 1, seed: SupportsIndex = 0
) -> NDArray[np.int64]:
    """Return an order of the packs that gives global batches, and the ranks of each, nearly equal costs.

    Args:
        costs: [B] or [B, D], not negative: D costs of each pack, each balanced as well as the others allow.
        num_ranks: Ranks that share a global batch.
        packs_per_rank: Packs per rank and global batch.
        seed: Seed of the order of batches, of the packs within a rank, and among equal packs; it also decides which
            packs are left for a last, incomplete batch.

    Returns:
        int64 [B], every pack once.

    Raises:
        ConfigError: If `num_ranks` or `packs_per_rank` is below 1, or an argument is not an integer.
        DataError: If a cost is negative or not finite.
    """
    num_ranks, packs_per_rank = _checked_shape(num_ranks, packs_per_rank)
    seed = integer("seed", seed)
    table = _as_table(costs)
    batch_size = num_ranks * packs_per_rank
    num_batches = len(table) // batch_size
    shuffled = permutation(len(table), seed)
    whole, rest = np.split(shuffled, [num_batches * batch_size])
    if not num_batches:
        return rest
    # Measure every cost by its mean, which makes the costs comparable.
    scale = table.mean(axis=0)
    shares = table / np.where(scale > 0, scale, 1)
    # Deal the packs to the batches, and the packs of each batch to its ranks.
    batches = _deal(shares[whole][np.newaxis], num_batches)[0]  # [round, batch] -> index in whole
    batches = whole[batches.T]  # [batch, pack]
    pack_of_rank = _deal(shares[batches], num_ranks)  # [batch, round, rank] -> index in the batch
    dealt = np.take_along_axis(batches, pack_of_rank.reshape(num_batches, -1), axis=1)
    dealt = dealt.reshape(num_batches, packs_per_rank, num_ranks)
    # Shuffle the rounds of each batch, and the batches, which dealing has sorted by cost.
    turns = np.argsort(mix(np.arange(num_batches * packs_per_rank), seed + 1).reshape(num_batches, -1), axis=1)
    dealt = np.take_along_axis(dealt, turns[:, :, np.newaxis], axis=1)
    dealt = dealt[permutation(num_batches, seed + 2)]
    return np.concatenate([dealt.reshape(-1), rest])


def _deal(costs_TPD: NDArray[np.float64], num_hands: int) -> NDArray[np.int64]:
    """Deal the P packs on each of T tables to `num_hands` hands, one pack per hand and round.

    Args:
        costs_TPD: The D costs of each pack, in comparable units.
        num_hands: A divisor of P.

    Returns:
        int64 [T, P / num_hands, num_hands], index of the pack that each hand gets in each round.
    """
    num_tables, num_packs, num_costs = costs_TPD.shape
    tables = np.arange(num_tables)[:, np.newaxis]
    by_cost = np.argsort(-costs_TPD.sum(axis=2), axis=1, kind="stable")
    rounds = by_cost.reshape(num_tables, -1, num_hands)
    held = np.zeros((num_tables, num_hands, num_costs))
    for number in range(num_packs // num_hands):
        packs = rounds[:, number]
        costs = costs_TPD[tables, packs]
        # Take the worst balanced cost. The hand with the least of it gets the pack with the most of it.
        worst = np.ptp(held, axis=1).argmax(axis=1)[:, np.newaxis]  # [T, 1]
        poorest_first = np.argsort(held[tables, np.arange(num_hands), worst], axis=1, kind="stable")
        dearest_first = np.argsort(-costs[tables, np.arange(num_hands), worst], axis=1, kind="stable")
        dealt = np.empty_like(packs)
        dealt[tables, poorest_first] = np.take_along_axis(packs, dearest_first, axis=1)
        rounds[:, number] = dealt
        held += costs_TPD[tables, dealt]
    return rounds


def _excess(costs_GRD: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return max / mean - 1 over R, and 0 where all costs are 0; [G, D]."""
    mean = costs_GRD.mean(axis=1)
    return costs_GRD.max(axis=1) / np.where(mean > 0, mean, 1) - (mean > 0)


def _as_table(costs: ArrayLike) -> NDArray[np.float64]:
    """Return costs as float64 [B, D].

    Raises:
        DataError: If they are not numbers in one or two dimensions, or one is negative or not finite.
    """
    try:
        table = np.asarray(costs, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the costs are not an array of numbers: {error}") from error
    table = table[:, np.newaxis] if table.ndim == 1 else table
    if table.ndim != 2:
        raise DataError(f"the costs have shape {np.shape(costs)}, expected one or two dimensions")
    if not (np.isfinite(table) & (table >= 0)).all():
        first = int(np.argmax(~(np.isfinite(table) & (table >= 0)).all(axis=1)))
        raise DataError(f"pack {first} has costs {table[first].tolist()}, expected finite numbers of at least 0")
    return table


def _checked_shape(num_ranks: SupportsIndex, packs_per_rank: SupportsIndex) -> tuple[int, int]:
    return whole_number("num_ranks", num_ranks, 1), whole_number("packs_per_rank", packs_per_rank, 1)
