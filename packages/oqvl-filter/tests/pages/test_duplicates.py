"""Which clusters and matches a page shows, from made columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from oqvl_filter.candidates import Candidates
from oqvl_filter.pages.duplicates import MAX_CLUSTER_PICTURES, cluster_panel, match_panel, matched_pictures
from oqvl_filter.pages.scored_samples import ScoredSamples
from oqvl_filter.pages.strip import Tile
from oqvl_shards.tar.sample import ReadLimits
from oqvl_shards.uid import UID_DTYPE


def samples_of(columns: dict[str, pa.Array]) -> ScoredSamples:
    """Samples with the columns that `dedup` has written under the label d."""
    count = len(next(iter(columns.values())))
    uids = np.array([(n, 0) for n in range(count)], dtype=UID_DTYPE)
    named = {f"d.{name}": column for name, column in columns.items()}
    candidates = Candidates(uids, ("x",), np.zeros(count, dtype=np.int16), {}, (count,), _read=named)
    nothing = np.zeros(count, dtype=bool)
    return ScoredSamples(candidates, {}, {}, nothing, nothing, np.arange(count))


def clusters(sizes: list[int], nearness: float = 0.0) -> ScoredSamples:
    """Clusters of these sizes, whose first sample stands; the others are `nearness` times its number off."""
    names = [chr(97 + number) for number, size in enumerate(sizes) for _ in range(size)]
    places = [place for size in sizes for place in range(size)]
    near = [nearness * number if place else 0.0 for number, size in enumerate(sizes) for place in range(size)]
    return samples_of(
        {
            "cluster": pa.array([*names, None]),
            "duplicate": pa.array([*(place > 0 for place in places), None]),
            "nearness": pa.array([*near, None], pa.float32()),
        }
    )


def test_the_largest_clusters_come_first_with_the_one_that_stands_ahead():
    panel = cluster_panel("d", "perceptual", clusters([1, 2, 3], nearness=2.0), 5)
    assert [strip.title for strip in panel.strips] == ["3 samples", "2 samples"]
    assert panel.strips[0].tiles == [Tile(3, mark="kept"), *(Tile(row, "4 of 64 bits differ") for row in (4, 5))]
    assert panel.text == "2 clusters by perceptual hash: one representative each, and 3 copies."


def test_the_loosest_clusters_are_shown_beside_the_largest():
    panel = cluster_panel("d", "perceptual", clusters([4, 3, 2, 2, 2], nearness=1.0), 1)
    assert [strip.tiles[0].place for strip in panel.strips] == [0, 11]
    assert "the least similar" in panel.text


def test_a_large_cluster_shows_the_members_that_are_the_least_like_it():
    data = clusters([100])
    bits = pa.array([0.0, *(n % 7 for n in range(99)), None], pa.float32())
    data.candidates._read["d.nearness"] = bits
    (strip,) = cluster_panel("d", "perceptual", data, 5).strips
    assert len(strip.tiles) == MAX_CLUSTER_PICTURES
    assert strip.tiles[0].mark == "kept"
    assert {tile.note for tile in strip.tiles[1:]} == {"6 of 64 bits differ"}


@pytest.mark.parametrize(
    ("method", "nearness", "order", "notes"),
    [
        ("perceptual", [1, 3, 0], [1, 0], ["3 of 64 bits differ", "1 of 64 bits differ"]),
        ("embedding", [0.99, 0.96, 1.0], [1, 0], ["cosine 0.960", "cosine 0.990"]),
        ("exact", [0, 0, 0], [0, 1], ["the same file", "the same file"]),
    ],
)
def test_the_matches_that_are_the_least_near_come_first(method: str, nearness, order, notes):
    columns = {"match": pa.array(["b/q", "b/r", "b/s", None]), "nearness": pa.array([*nearness, None], pa.float32())}
    panel = match_panel("d", method, samples_of(columns), 2)
    assert [strip.tiles[0].place for strip in panel.strips] == order
    assert [strip.title for strip in panel.strips] == notes
    assert [strip.tiles[1].place for strip in panel.strips] == [f"b/{'qr'[row]}" for row in order]
    assert panel.text.endswith("Shown are the 2 least similar.")


def test_pictures_of_benchmarks_are_found_by_name(make_benchmark, make_pool, plain_pairs, picture, uid_of):
    benchmarks = {
        "items": make_benchmark({"q1": [picture(), picture()], "q2": [b"broken"]}),
        "pool": make_pool([plain_pairs(3)]),
    }
    names = ["items/q1#2", "items/q2", f"pool/{uid_of(1)}", "gone/x"]
    found = dict(matched_pictures(names, benchmarks, ReadLimits()))
    assert found.keys() == set(names)
    assert found["items/q1#2"].source and found["items/q2"].problem == "image_broken"
    assert found[f"pool/{uid_of(1)}"].caption == "caption 1"
    assert (found["gone/x"].source, found["gone/x"].key) == ("", "x")
