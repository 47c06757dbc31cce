from __future__ import annotations

import pytest

from oqvl_filter.benchmark import benchmark_pictures
from oqvl_shards.errors import DataError


def test_every_picture_has_a_name_of_its_own(make_benchmark):
    benchmark = make_benchmark({"q1": [b"one"], "q2": [], "q3": [b"two", b"", b"three"]})
    assert list(benchmark_pictures(benchmark)) == [("q1", b"one"), ("q3", b"two"), ("q3#3", b"three")]


def test_a_damaged_file_is_named(make_benchmark):
    benchmark = make_benchmark({"q1": [b"one"]})
    path = benchmark.shard_path(benchmark.manifest.shards[0])
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"items\.parquet is not a readable file of benchmark items"):
        list(benchmark_pictures(benchmark))
