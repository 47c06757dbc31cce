"""Compiled loops, each against one line of numpy."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from oqvl_pack.binpacking import kernels
from oqvl_pack.binpacking.shuffle import mix, sort_key, start_of

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


def test_the_generator_compiles_to_the_same_numbers() -> None:
    numbers = np.asarray([0, 1, 12345, (1 << 64) - 1], dtype=np.uint64)
    start = np.uint64(start_of(3))
    assert [int(kernels._sort_key(number, start)) for number in numbers] == sort_key(numbers, start).tolist()


@pytest.mark.parametrize("cut", [0, 1, 2500, 5000])
def test_two_threads_sort_like_one(cut: int) -> None:
    counts = np.stack([np.bincount(lengths, minlength=40) for lengths in np.split(LENGTHS, [cut])])
    total = counts.sum(axis=0)
    next_positions = np.cumsum(total) - total + np.cumsum(counts, axis=0) - counts
    order = np.empty(5000, dtype=np.uint64)
    kernels.sort_ids(LENGTHS[cut:], cut, next_positions[1], order)
    kernels.sort_ids(LENGTHS[:cut], 0, next_positions[0], order)
    assert np.array_equal(order, np.argsort(LENGTHS, kind="stable"))
    # Each position moved on by what its thread wrote, so the last one is where the next length begins.
    assert next_positions[1].tolist() == np.cumsum(total).tolist()


def test_a_table_of_subset_sums() -> None:
    # Terms of (weight, length): (1, 70), (0, 3), (1, 70); the table has three rows of 141 columns, three words each.
    moves = np.asarray([[1, 70], [0, 3], [1, 70]])
    states = np.empty((4, 3, 3), dtype=np.uint64)
    assert kernels.fill_table(moves, np.asarray([[1, 2, 140]]), 141, states) == (3, 2, 140)
    cells = {
        (row, 64 * word + bit)
        for row in range(3)
        for word in range(3)
        for bit in range(64)
        if int(states[3, row, word]) >> bit & 1 and 64 * word + bit < 141
    }
    assert cells == {(0, 0), (1, 70), (0, 3), (1, 73), (2, 140)}
    chosen = np.zeros(3, dtype=np.bool_)
    kernels.trace_terms(moves, states, 3, 2, 140, chosen)
    assert chosen.tolist() == [True, False, True]


def test_a_goal_out_of_reach() -> None:
    states = np.empty((2, 1, 1), dtype=np.uint64)
    assert kernels.fill_table(np.asarray([[0, 5]]), np.asarray([[1, 0, 6]]), 10, states) == (1, -1, -1)
    assert kernels.fill_table(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 3), dtype=np.int64), 10, states)[0] == 0


def test_a_failing_cache_compiles_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_function, attempts = numba.njit, []

    def fail_with_cache(function: Any, *, nogil: bool, cache: bool = False) -> Any:
        attempts.append(cache)
        if not cache:
            return compile_function(function, nogil=nogil)

        def broken(*_arguments: object) -> None:
            raise EOFError("Ran out of input")

        return broken

    monkeypatch.setattr(numba, "njit", fail_with_cache)
    double = kernels._compile(lambda number: 2 * number)
    assert [double(4), double(5)] == [8, 10]
    assert attempts == [True, False]
