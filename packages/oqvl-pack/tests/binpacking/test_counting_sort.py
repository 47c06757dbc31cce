"""Counting sorts: numpy and numba agree to the bit, for any number of threads; few items never import numba."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking import compiled, counting_sort
from oqvl_pack.binpacking.counting_sort import count_sizes, gather, sort_by_length
from oqvl_pack.binpacking.packing import pack
from oqvl_pack.binpacking.shuffle import mix

NUM_ITEMS = 120_000  # enough for the compiled kernels
SCRIPT = """
import hashlib, sys
from unittest import mock
import numpy as np
from oqvl_pack import binpacking, pack
from oqvl_pack.binpacking import compiled

lengths = np.minimum(144 + np.ceil(np.random.default_rng(5).lognormal(3.1, 0.7, {num_items})).astype(np.int64), 4096)
weights = np.arange({num_items}) % 3

def print_digest():
    compiled._import_kernels.cache_clear()
    sys.modules.pop("oqvl_pack.binpacking.kernels", None)
    vars(binpacking).pop("kernels", None)
    digest = hashlib.sha256()
    plans = [pack(lengths, 4096, algorithm=algorithm) for algorithm in ("best", "bfd", "ffd", "next_fit")]
    plans += [pack(lengths, 4096, weights=weights, weight_capacity=20, algorithm=name) for name in ("ffd", "next_fit")]
    for plan in plans:
        for one in (plan, plan.shuffled(3)):
            digest.update(one.indices.tobytes() + one.offsets.tobytes() + one[len(one) // 2].tobytes())
    print(digest.hexdigest(), bool(sys.modules.get("numba")), "oqvl_pack.binpacking.kernels" in sys.modules)

{body}
"""


def run_script(
    body: str = "print_digest()", num_items: int = NUM_ITEMS, **environment: str
) -> list[tuple[str, bool, bool]]:
    """Pack in a process of its own; return for each call the digest, and whether numba and the kernels are loaded."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body, num_items=num_items)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    return [(digest, numba == "True", kernels == "True") for digest, numba, kernels in rows]


@pytest.fixture(scope="module")
def expected_digest() -> str:
    """The digest of the plans of compiled kernels."""
    [(digest, numba, kernels)] = run_script()
    assert numba and kernels
    return digest


def test_same_bits_where_numba_is_disabled(expected_digest: str) -> None:
    [(digest, _, kernels)] = run_script(NUMBA_DISABLE_JIT="1")
    assert (digest, kernels) == (expected_digest, False)


def test_works_where_the_cache_is_missing_full_or_damaged(expected_digest: str) -> None:
    body = """
from numba.core import caching
found, failures = caching.CacheImpl.__init__, []
def refuse(self, function):
    if function.__module__ == 'oqvl_pack.binpacking.kernels':
        failures.append(function)
        raise RuntimeError('no locator available')
    found(self, function)
def fail_with(error):
    def fail(self, *arguments):
        failures.append(error)
        raise error
    return fail

with mock.patch.object(caching.CacheImpl, '__init__', refuse): print_digest()
cache = caching.IndexDataCacheFile
for error in (OSError(28, 'No space left on device'), EOFError('Ran out of input')):
    with mock.patch.multiple(cache, load=fail_with(error), save=fail_with(error)): print_digest()
assert {type(failure).__name__ for failure in failures} == {'function', 'OSError', 'EOFError'}, failures
"""
    assert run_script(body) == [(expected_digest, True, True)] * 3


def test_works_where_numba_is_missing_or_cannot_be_loaded(expected_digest: str) -> None:
    body = """
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == 'numba': raise self.error

for error in (SystemError('initialization of _internal failed'), OSError('no libllvmlite.so')):
    Broken.error = error
    with mock.patch.object(sys, 'meta_path', [Broken(), *sys.meta_path]): print_digest()
sys.modules['numba'] = None
print_digest()
"""
    assert run_script(body) == [(expected_digest, False, False)] * 3


def test_few_items_never_import_numba() -> None:
    [(_, numba, kernels)] = run_script(num_items=compiled.MIN_COMPILED_ITEMS - 1)
    assert not numba and not kernels


@pytest.mark.parametrize("num_threads", [1, 2, 3, 8])
def test_same_bits_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch, num_threads: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 2000, NUM_ITEMS)
    monkeypatch.setattr(counting_sort, "_num_threads", lambda: num_threads)
    plan = pack(lengths, 4096).shuffled(1)
    digest = hashlib.sha256(plan.indices.tobytes() + plan.offsets.tobytes()).hexdigest()
    monkeypatch.setattr(compiled, "_import_kernels", lambda: None)
    plan = pack(lengths, 4096).shuffled(1)
    assert hashlib.sha256(plan.indices.tobytes() + plan.offsets.tobytes()).hexdigest() == digest


def test_numpy_chunks_join(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 5000)
    whole = pack(lengths, 200).shuffled(1).indices
    monkeypatch.setattr(counting_sort, "_CHUNK_ITEMS", 7)
    assert np.array_equal(pack(lengths, 200).shuffled(1).indices, whole)


DTYPES = [np.uint8, np.uint16, np.uint32, np.int64]
FORCED = [("kernels", 0, 3), ("kernels", 0, 1), ("numpy", 1 << 60, 3), ("numpy", 1 << 60, 1)]
"""How the work is done: by what, from how many items, in how many threads."""


@pytest.fixture(params=FORCED, ids=lambda forced: f"{forced[0]}-{forced[2]}")
def forced(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int, int]:
    """Do the work in kernels or in numpy, in one or three threads, however few items there are."""
    _, least, num_threads = request.param
    monkeypatch.setattr(compiled, "MIN_COMPILED_ITEMS", least)
    monkeypatch.setattr(counting_sort, "_MIN_COMPILED_COUNTS", least)
    monkeypatch.setattr(counting_sort, "_MIN_THREADED_ITEMS", 0)
    monkeypatch.setattr(counting_sort, "_num_threads", lambda: num_threads)
    return request.param


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("num", [0, 1, 2, 5, 1000])
def test_sorting_against_numpy(dtype: type[np.integer], num: int) -> None:
    lengths = np.random.default_rng(num).integers(1, 40, num).astype(dtype)
    histogram, order = sort_by_length(lengths, int(lengths.max(initial=0)))
    sizes, counts = np.unique(lengths, return_counts=True)
    assert histogram.sizes.tolist() == sizes[::-1].tolist()
    assert histogram.counts.tolist() == counts[::-1].tolist()
    assert order.tolist() == np.argsort(lengths, kind="stable").tolist()
    assert order.dtype == np.uint32
    counted = count_sizes(lengths, int(lengths.max(initial=0)))
    assert (counted.sizes.tolist(), counted.counts.tolist()) == (histogram.sizes.tolist(), histogram.counts.tolist())


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("document_seed", [None, 0, 7])
def test_gathering_against_a_loop(document_seed: int | None) -> None:
    lengths = np.random.default_rng(3).integers(1, 60, 700)
    plan = pack(lengths, 200)
    bins = np.random.default_rng(4).permutation(plan.num_bins)[: plan.num_bins // 2]
    indices, offsets = gather(plan.order, plan.runs, bins, document_seed)
    listed = [ids.tolist() for ids in np.split(indices, offsets[1:-1])]
    for number, ids in zip(bins.tolist(), listed, strict=True):
        expected = plan[number]
        if document_seed is not None:
            expected = expected[np.argsort(mix(expected, document_seed))]
        assert ids == expected.tolist()


@pytest.mark.usefixtures("forced")
def test_no_bins_are_an_empty_list() -> None:
    plan = pack([5, 5], 10)
    indices, offsets = gather(plan.order, plan.runs, np.zeros(0, dtype=np.int64), 3)
    assert (indices.tolist(), offsets.tolist()) == ([], [0])


@given(st.lists(st.integers(1, 1 << 40), max_size=50))
def test_lengths_too_large_for_counters(values: list[int]) -> None:
    lengths = np.asarray([*values, 1 << 41], dtype=np.int64)
    histogram, order = sort_by_length(lengths, 1 << 41)
    assert np.repeat(histogram.sizes, histogram.counts).tolist() == sorted(lengths.tolist(), reverse=True)
    assert lengths[order].tolist() == sorted(lengths.tolist())


@given(st.integers(0, 300), st.integers(1, 9))
def test_threads_share_all_the_work(num: int, num_threads: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting_sort, "_MIN_THREADED_ITEMS", 0)
        patch.setattr(counting_sort, "_num_threads", lambda: num_threads)
        ranges = counting_sort._thread_ranges(num)
        assert len(ranges) == num_threads
        assert [place for begin, end in ranges for place in range(begin, end)] == list(range(num))

        # An error in a thread reaches the caller.
        def fail_in_the_last(thread: int, _begin: int, _end: int) -> None:
            if thread == num_threads - 1:
                raise RuntimeError("the last thread fails")

        with pytest.raises(RuntimeError, match="the last thread fails"):
            counting_sort._run_in_threads(fail_in_the_last, num)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6)), max_size=20))
def test_ranges_are_concatenated(ranges: list[tuple[int, int]]) -> None:
    starts, lengths = np.asarray(ranges, dtype=np.int64).reshape(-1, 2).T
    expected = [place for start, length in ranges for place in range(start, start + length)]
    assert counting_sort._ranges(starts, lengths).tolist() == expected
