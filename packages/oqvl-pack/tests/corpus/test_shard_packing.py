"""Shards pack by themselves, leftovers pack together, and no document is lost in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.packing import pack
from oqvl_pack.config import PackConfig
from oqvl_pack.corpus.shard_packing import PackTable, join_shards, pack_shard


def config(capacity: int, **values: object) -> PackConfig:
    paths = {name: Path(name) for name in ("source", "output", "tokenizer")}
    return PackConfig.model_validate({**paths, "bin_capacity": capacity, **values})


def pack_shards(shards: list[np.ndarray], settings: PackConfig) -> PackTable:
    packings = [pack_shard(lengths, index, settings) for index, lengths in enumerate(shards)]
    return join_shards(packings, shards, settings)


@given(
    st.lists(st.lists(st.integers(1, 50), max_size=40), min_size=1, max_size=6),
    st.integers(0, 3),
    st.sampled_from(["best", "bfd", "next_fit"]),
)
def test_every_document_once_and_no_pack_over_capacity(
    lengths: list[list[int]], max_documents: int, algorithm: str
) -> None:
    shards = [np.asarray(shard, dtype=np.int64) for shard in lengths]
    packs = pack_shards(shards, config(50, max_documents=max_documents, algorithm=algorithm))
    documents = list(zip(packs.shards.tolist(), packs.documents.tolist(), strict=True))
    assert sorted(documents) == [(shard, index) for shard in range(len(shards)) for index in range(len(shards[shard]))]
    for begin, end in zip(packs.offsets[:-1], packs.offsets[1:], strict=True):
        assert 0 < sum(shards[shard][index] for shard, index in documents[begin:end]) <= 50
        assert not max_documents or end - begin <= max_documents


def test_as_few_packs_as_packing_everything_at_once() -> None:
    rng = np.random.default_rng(0)
    shards = [np.minimum(144 + np.ceil(rng.lognormal(3.1, 0.7, 5000)).astype(int), 4096) for _ in range(8)]
    packs = pack_shards(shards, config(4096))
    alone = sum(pack(shard, 4096).num_bins for shard in shards)
    assert packs.num_packs == pack(np.concatenate(shards), 4096).num_bins < alone


def test_most_packs_draw_from_one_shard() -> None:
    rng = np.random.default_rng(0)
    shards = [np.minimum(144 + np.ceil(rng.lognormal(3.1, 0.7, 10_000)).astype(int), 4096) for _ in range(4)]
    packs = pack_shards(shards, config(4096))
    spans = [
        len(set(packs.shards[begin:end].tolist()))
        for begin, end in zip(packs.offsets[:-1], packs.offsets[1:], strict=True)
    ]
    assert np.mean(np.asarray(spans) == 1) > 0.99


def test_one_document_per_pack_has_no_leftovers() -> None:
    packing = pack_shard(np.asarray([5, 3, 8]), 0, config(10, max_documents=1))
    assert (packing.num_packs, packing.leftovers.tolist()) == (3, [])


def test_shards_with_equal_lengths_are_shuffled_differently() -> None:
    lengths = np.arange(1, 200)
    first, second = (pack_shard(lengths, index, config(300)).documents.tolist() for index in (0, 1))
    assert first != second
    assert first == pack_shard(lengths, 0, config(300)).documents.tolist()
    assert first != pack_shard(lengths, 0, config(300, seed=1)).documents.tolist()


def test_between() -> None:
    table = PackTable(np.arange(5), np.arange(5) * 10, np.asarray([0, 2, 3, 5]))
    part = table.between(1, 3)
    assert (part.shards.tolist(), part.documents.tolist(), part.offsets.tolist()) == (
        [2, 3, 4],
        [20, 30, 40],
        [0, 1, 3],
    )


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(0, 5))
def test_a_shard_keeps_the_packs_that_are_as_full_as_the_average(lengths: list[int], shard_index: int) -> None:
    array = np.asarray(lengths, dtype=np.int64)
    packing = pack_shard(array, shard_index, config(50))
    num_bins = pack(array, 50).num_bins
    fills = [
        int(array[packing.documents[begin:end]].sum())
        for begin, end in zip(packing.offsets[:-1], packing.offsets[1:], strict=True)
    ]
    average = sum(lengths) / num_bins
    assert all(fill >= average for fill in fills)
    # The packs that were given up are emptier than the average, together.
    num_given_up = num_bins - packing.num_packs
    assert int(array[packing.leftovers].sum()) < average * num_given_up or not num_given_up
    assert packing.leftovers.tolist() == sorted(packing.leftovers.tolist())


def test_kept_packs_come_first_in_the_order_of_their_shards() -> None:
    shards = [np.asarray(lengths) for lengths in ([6, 4, 3], [5, 5, 2], [7])]
    packs = pack_shards(shards, config(10))
    members = [
        list(zip(packs.shards[begin:end].tolist(), packs.documents[begin:end].tolist(), strict=True))
        for begin, end in zip(packs.offsets[:-1], packs.offsets[1:], strict=True)
    ]
    # Shards 0 and 1 each keep a full pack, shard 2 its only one; the leftovers of 3 and 2 share the last.
    assert [sorted(pack) for pack in members] == [[(0, 0), (0, 1)], [(1, 0), (1, 1)], [(2, 0)], [(0, 2), (1, 2)]]


def test_no_documents_at_all() -> None:
    packs = pack_shards([np.zeros(0, dtype=np.int64)] * 2, config(10))
    assert (packs.num_packs, packs.offsets.tolist()) == (0, [0])
