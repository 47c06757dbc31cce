"""Duplicates and benchmark pictures, from small pools of real pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from oqvl_filter import run
from oqvl_filter.candidates import Candidates
from oqvl_filter.config import DedupConfig, PhashScorerConfig, RulesScorerConfig, ScoreConfig, SelectConfig, ShowConfig
from oqvl_filter.dedup.duplicates import Features, Pictures, cluster_table, connect, features_of, match_table
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.uid import UID_DTYPE, array_to_uids

EXACT, PERCEPTUAL, EMBEDDING = (
    DedupConfig.from_values({"scores": {"a": "a"}, "output": "o", "column": "c", "method": method})
    for method in ("exact", "perceptual", "embedding")
)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30), st.integers(1, 5))
def test_nodes_connect_directly_or_through_others(edges: list[tuple[int, int]], num_parts: int):
    parts = [np.array(edges[start::num_parts], dtype=np.int64).reshape(-1, 2) for start in range(num_parts)]
    labels = connect(20, [(part[:, 0], part[:, 1]) for part in parts])
    expected = list(range(20))
    for _ in range(20):
        for left, right in edges:
            expected[left] = expected[right] = min(expected[left], expected[right])
    assert labels.tolist() == expected


def candidates_of(codes: list[int]) -> Candidates:
    uids = np.array([(n, 0) for n in range(len(codes))], dtype=UID_DTYPE)
    return Candidates(uids, ("one", "two"), np.array(codes), {}, (len(codes),))


def test_the_preferred_one_stands_then_that_of_the_first_pool():
    candidates = candidates_of([1, 0, 0, 1, 0])
    features = features_of(pa.array(["x", "x", None, "y", "y"]), EXACT, "c")
    uids = array_to_uids(candidates.uids)
    table = cluster_table(candidates, features, EXACT, None)
    assert table["cluster"].to_pylist() == [uids[1], uids[1], None, uids[4], uids[4]]
    assert table["cluster_size"].to_pylist() == [2, 2, None, 2, 2]
    assert table["duplicate"].to_pylist() == [True, False, None, True, False]
    assert table["nearness"].to_pylist() == [0, 0, None, 0, 0]
    preferred = cluster_table(candidates, features, EXACT, pa.array([0.9, 0.8, 1.0, None, 0.1]))
    assert preferred["duplicate"].to_pylist() == [False, True, None, True, False]


def test_near_hashes_and_near_vectors_are_linked_through_others():
    candidates = candidates_of([0, 0, 0, 0])
    chain = pa.array([0, 0b1111, 0b11111111, 0xFFFF << 40], pa.uint64())
    table = cluster_table(candidates, features_of(chain, PERCEPTUAL, "c"), PERCEPTUAL, None)
    assert table["cluster_size"].to_pylist() == [3, 3, 3, 1]
    stands = table["duplicate"].to_pylist().index(False)
    assert table["nearness"].to_pylist() == [4 * abs(place - stands) for place in range(3)] + [0]
    angles = np.deg2rad([0, 15, 30, 90])
    vectors = pa.array(np.stack([np.cos(angles), np.sin(angles)], axis=1).tolist(), pa.list_(pa.float32(), 2))
    table = cluster_table(candidates, features_of(vectors, EMBEDDING, "c"), EMBEDDING, None)
    assert table["cluster_size"].to_pylist() == [3, 3, 3, 1]
    expected = [*np.cos(np.deg2rad(15) * abs(np.arange(3) - stands)), 1]
    assert table["nearness"].to_pylist() == pytest.approx(expected)


def test_a_match_is_the_nearest_picture():
    candidates = candidates_of([0, 0, 0])
    pictures = Pictures(("b/far", "b/near", "b/same"), Features(np.array([0b111, 0b1, 0b1], np.uint64), np.arange(3)))
    ours = features_of(pa.array([0, None, 2**63 - 1], pa.uint64()), PERCEPTUAL, "c")
    table = match_table(candidates, ours, pictures, PERCEPTUAL)
    assert table.to_pylist() == [{"match": "b/near", "nearness": 1.0}] + [{"match": None, "nearness": None}] * 2
    vectors = features_of(pa.array([[1.0, 0.0], [0.0, 1.0], None], pa.list_(pa.float32(), 2)), EMBEDDING, "c")
    named = Pictures(("b/x",), Features(np.array([[1, 0]], np.float32), np.arange(1)))
    assert match_table(candidates, vectors, named, EMBEDDING)["nearness"].to_pylist() == [1.0, None, None]


def encoded(seed: int, format_: str = "PNG", side: int = 96) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(buffer, format_)
    return buffer.getvalue()


@pytest.fixture
def pools(make_pool, pair, uid_of) -> list[Dataset]:
    """Two pools: a copy of a file, a smaller version of another, and a broken image."""
    one = [pair(f"{n}", encoded(n), "x", uid_of(n)) for n in range(4)]
    two = [
        pair("copy", encoded(1), "x", uid_of(11)),
        pair("small", encoded(2, side=60), "x", uid_of(12)),
        pair("own", encoded(99), "x", uid_of(13)),
        pair("broken", encoded(5)[:20], "x", uid_of(14)),
    ]
    return [make_pool([one], "one"), make_pool([two], "two")]


@pytest.fixture
def scored(pools: list[Dataset], tmp_path: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {"rules": [], "phash": []}
    for pool in pools:
        for scorer in (RulesScorerConfig(), PhashScorerConfig(name="phash")):
            found[scorer.name].append(tmp_path / f"{scorer.name}-{pool.manifest.name}")
            run.score(ScoreConfig(pool=pool.path, output=found[scorer.name][-1], scorer=scorer))
    return found


def dedup(pools: list[Dataset], scored: dict[str, list[Path]], output: Path, **values):
    config = {"pools": [pool.path for pool in pools], "scores": scored, "output": output, **values}
    return run.dedup(DedupConfig.from_values(config))


def kept(pools: list[Dataset], scored: dict[str, list[Path]], output: Path, keep: str, **labels: Path) -> set[str]:
    config = {"pools": [pool.path for pool in pools], "scores": {**scored, **labels}, "output": output, "keep": keep}
    run.select(SelectConfig.from_values(config))
    return set(array_to_uids(np.load(output / "subset.npy")))


@pytest.mark.parametrize(
    ("method", "column", "gone"),
    [("exact", "content_sha", {11}), ("perceptual", "phash.phash", {11, 12})],
)
def test_a_rule_leaves_out_duplicates_across_pools(pools, scored, tmp_path: Path, uid_of, method, column, gone):
    report = dedup(pools, scored, tmp_path / "dedup", method=method, column=column)
    assert report.counts == {"num_clusters": len(gone), "num_duplicates": len(gone)}
    assert report.account.num_in == 8
    found = kept(pools, scored, tmp_path / "subset", "dedup.duplicate == false", dedup=tmp_path / "dedup")
    assert found == {uid_of(n) for n in (0, 1, 2, 3, 11, 12, 13) if n not in gone}
    # The other way round, by a choice in the rule.
    found = kept(pools, scored, tmp_path / "last", "width in bottom(1) per cluster", dedup=tmp_path / "dedup")
    assert len(found) == 7 - len(gone)
    assert (uid_of(12) in found) == (method == "perceptual" or 12 not in gone)
    assert run.show(ShowConfig(dataset=tmp_path / "dedup")) == report
    assert dedup(pools, scored, tmp_path / "dedup", method=method, column=column) == report


def test_the_first_pool_stands(pools, scored, tmp_path: Path, uid_of):
    reverse = {label: paths[::-1] for label, paths in scored.items()}
    dedup(pools[::-1], reverse, tmp_path / "dedup", method="exact", column="content_sha")
    found = kept(pools, scored, tmp_path / "subset", "dedup.duplicate == false", dedup=tmp_path / "dedup")
    assert uid_of(11) in found
    assert uid_of(1) not in found


@pytest.fixture
def benchmark(make_benchmark) -> Dataset:
    """Two items: one with a picture of the pool at another size, one that shares it and has one of its own."""
    shared = encoded(3, "JPEG")
    return make_benchmark({"q1": [shared], "q2": [shared, encoded(77), b"no picture"]})


def test_pictures_of_a_benchmark_are_found_and_left_out(pools, scored, benchmark, tmp_path: Path, uid_of):
    against = {"bench": benchmark.path, "other": scored["phash"][1]}
    report = dedup(pools, scored, tmp_path / "seen", method="perceptual", column="phash.phash", against=against)
    # The pictures of the second pool are in "other" themselves, with those of the first that they are versions of.
    assert report.counts == {"num_matches": 6, "num_matches.bench": 1, "num_matches.other": 5}
    found = kept(pools, scored, tmp_path / "subset", "seen.match is null", seen=tmp_path / "seen")
    assert {uid_of(3), uid_of(1), uid_of(2)} & found == set()
    assert uid_of(0) in found
    parents = open_dataset(tmp_path / "seen").manifest.lineage.parents
    assert benchmark.manifest.digest() in parents
    exact = dedup(
        pools, scored, tmp_path / "exact", method="exact", column="content_sha", against={"b": benchmark.path}
    )
    assert exact.counts == {"num_matches": 0}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"method": "exact", "column": "phash.phash"}, "is of type uint64, expected text"),
        ({"method": "perceptual", "column": "content_sha"}, "expected 64-bit numbers"),
        ({"method": "embedding", "column": "phash.phash"}, "expected lists of numbers"),
        ({"method": "exact", "column": "nothing"}, "column: found 'nothing'"),
        ({"method": "embedding", "column": "clip"}, "column: found 'clip'"),
        ({"method": "embedding"}, "compares the column image_embedding, and no scores have it"),
        ({"method": "exact", "column": "content_sha", "prefer": "caption_sha"}, "prefer: rules.caption_sha"),
    ],
)
def test_a_column_that_cannot_be_compared_is_refused(pools, scored, tmp_path: Path, values, problem: str):
    with pytest.raises(ConfigError, match=problem):
        dedup(pools, scored, tmp_path / "dedup", **values)


def test_a_column_that_is_not_there_is_told_how_to_make(pools, scored, tmp_path: Path):
    with pytest.raises(ConfigError) as error:
        # A label of the column's name does not make its scores such a column.
        dedup(pools, {"phash": scored["rules"]}, tmp_path / "dedup", method="perceptual")
    assert error.value.message == "method=perceptual compares the column phash, and no scores have it"
    assert "oqvl-filter score pool=POOL output=PATH scorer.name=phash, then scores.LABEL=PATH" in error.value.hint


def test_a_method_has_a_usual_column(pools, scored, tmp_path: Path):
    exact = dedup(pools, scored, tmp_path / "a", method="exact")
    assert exact == dedup(pools, scored, tmp_path / "a", method="exact", column="rules.content_sha")
    assert dedup(pools, scored, tmp_path / "b", method="perceptual").counts["num_duplicates"] == 2
