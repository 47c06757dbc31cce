from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter import run
from oqvl_filter.config import DedupConfig, ScoreConfig
from oqvl_filter.dedup import run as dedup_run
from oqvl_filter.dedup.duplicates import Features, clusters
from oqvl_filter.score_file import read_table
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError


class UnionFind:
    """The textbook structure, as a second opinion."""

    def __init__(self, size: int) -> None:
        self.parents = list(range(size))

    def find(self, node: int) -> int:
        while self.parents[node] != node:
            node = self.parents[node]
        return node

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.find(one), self.find(other)))
        self.parents[high] = low


def expected_clusters(values: list, is_near) -> list[int]:
    nodes = UnionFind(len(values))
    for left in range(len(values)):
        for right in range(left):
            if is_near(values[left], values[right]):
                nodes.join(left, right)
    return [nodes.find(node) for node in range(len(values))]


def settings(method: str, **values) -> DedupConfig:
    return DedupConfig.from_values({"scores": {"a": "a"}, "output": "o", "method": method, **values})


# Hashes that differ in few of the low bits, so that chains of near ones occur, and some that differ in many.
hashes = st.lists(st.integers(0, 63) | st.integers(0, 2**64 - 1), max_size=25)


@given(hashes, st.integers(0, 6))
def test_perceptual_clusters_are_those_of_a_union_find(values: list[int], max_distance: int):
    features = Features(np.array(values, dtype=np.uint64), np.arange(len(values)))
    found = clusters(features, settings("perceptual", max_distance=max_distance))
    assert found.tolist() == expected_clusters(values, lambda a, b: (a ^ b).bit_count() <= max_distance)


@given(st.lists(st.integers(0, 359), max_size=25), st.sampled_from([5, 15, 40]), st.sampled_from([1, 4, 100]))
def test_embedding_clusters_are_those_of_a_union_find(degrees: list[int], limit: int, block_size: int):
    angles = np.deg2rad(degrees)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32).reshape(-1, 2)
    # Half a degree beyond a whole number of degrees, so that rounding decides no pair.
    config = settings(
        "embedding",
        min_cosine=float(np.cos(np.deg2rad(limit + 0.5))),
        search_options={"block_size": block_size},
    )
    found = clusters(Features(vectors, np.arange(len(vectors))), config)

    def is_near(a: int, b: int) -> bool:
        return min((a - b) % 360, (b - a) % 360) <= limit

    assert found.tolist() == expected_clusters(degrees, is_near)


@pytest.fixture
def scored(make_pool, pair, plain_pairs, uid_of, tmp_path: Path) -> Path:
    """Rules of a pool of three pairs, and a copy of the first one with a longer caption."""
    copy = pair("copy", plain_pairs(1)[0].image, "a much longer caption", uid_of(77))
    run.score(ScoreConfig(pool=make_pool([[*plain_pairs(3), copy]]).path, output=tmp_path / "rules"))
    return tmp_path / "rules"


def dedup(scored: Path, name: str, **values):
    config = {"scores": {"r": scored}, "method": "exact", "output": scored.parent / name, **values}
    return dedup_run.dedup(DedupConfig.from_values(config))


def test_the_preferred_copy_represents_its_cluster(scored: Path, uid_of):
    dedup(scored, "d", prefer="caption_chars")
    table = read_table(scored.parent / "d" / "duplicates.parquet")
    rows = {row["uid"]: row for row in table.to_pylist()}
    assert rows[uid_of(77)]["duplicate"] is False
    assert rows[uid_of(0)]["duplicate"] is True
    assert {rows[uid_of(n)]["cluster"] for n in (0, 77)} == {uid_of(77)}
    assert [rows[uid_of(n)]["cluster_size"] for n in (0, 1, 2, 77)] == [2, 1, 1, 2]


def test_two_spellings_of_a_column_are_one_stage(scored: Path):
    first = dedup(scored, "d", column="content_sha", prefer="caption_chars")
    assert dedup(scored, "d", column="r.content_sha", prefer="r.caption_chars") == first
    lineage = open_dataset(scored.parent / "d").manifest.lineage
    assert sorted(lineage.config) == ["against", "config", "pools", "scores"]
    assert (lineage.config["config"]["column"], lineage.config["config"]["prefer"]) == (
        "r.content_sha",
        "r.caption_chars",
    )
    assert lineage.config["scores"] == {"r": [open_dataset(scored).manifest.digest()]}
    with pytest.raises(ConfigError, match=r"config\.prefer"):
        dedup(scored, "d", prefer="width")


def test_a_column_of_text_cannot_be_preferred(scored: Path):
    with pytest.raises(ConfigError, match=r"prefer: r\.caption_sha is of type string, expected numbers"):
        dedup(scored, "d", prefer="caption_sha")
    assert not (scored.parent / "d").exists()
