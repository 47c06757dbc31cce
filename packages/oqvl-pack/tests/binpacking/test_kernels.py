"""Compiled loops, each against one line of numpy."""

from __future__ import annotations

import numpy as np

from oqvl_pack.binpacking import kernels
from oqvl_pack.binpacking.shuffle import mix, start_of

LENGTHS = np.random.default_rng(0).integers(1, 40, 5000).astype(np.uint16)


def test_count_lengths() -> None:
    counts = np.zeros(40, dtype=np.int64)
    kernels.count_lengths(LENGTHS, counts)
    assert np.array_equal(counts, np.bincount(LENGTHS, minlength=40))


def test_sort_ids() -> None:
    counts = np.bincount(LENGTHS, minlength=40)
    order = np.empty(5000, dtype=np.uint32)
    kernels.sort_ids(LENGTHS, 100, np.cumsum(counts) - counts, order)
    assert np.array_equal(order, 100 + np.argsort(LENGTHS, kind="stable"))


def test_gather_bins() -> None:
    order = np.arange(100, 110, dtype=np.uint32)
    # Run 0: bins 0 and 1 take two items each from position 0; run 1: bin 2 takes three from 7 and one from 4.
    run_of_bin = np.asarray([0, 0, 1])
    entries = np.asarray([0, 1, 3]), np.asarray([0, 1, 2]), np.asarray([2, 3, 1])
    indices = np.empty(8, dtype=np.uint32)
    kernels.gather_bins(order, np.asarray([2, 0, 1]), run_of_bin, *entries, indices)
    assert indices.tolist() == [107, 108, 109, 104, 100, 101, 102, 103]


def test_shuffle_bins() -> None:
    offsets = np.asarray([0, 1, 3, 3, 4000, 5000])  # bins larger and smaller than the largest gap
    indices = np.random.default_rng(1).permutation(5000).astype(np.uint32)
    expected = [ids[np.argsort(mix(ids, 7))] for ids in np.split(indices, offsets[1:-1])]
    kernels.shuffle_bins(indices, offsets, np.uint64(start_of(7)), np.empty(5000, dtype=np.uint64))
    assert np.array_equal(indices, np.concatenate(expected))
