"""The same picture again: turned, encoded anew, in a benchmark; and clusters as the parts of a graph."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from oqvl_filter import run
from oqvl_filter.candidates import Candidates
from oqvl_filter.config import DedupConfig, PhashScorerConfig, RulesScorerConfig, ScoreConfig
from oqvl_filter.dedup.duplicates import Features, Pictures, cluster_table, count_duplicates, features_of, match_table
from oqvl_filter.uid_array import hash_uids
from oqvl_shards.errors import ConfigError
from oqvl_shards.uid import UID_DTYPE, array_to_uids

ORIENTATION = 0x0112


def config_of(method: str, **values) -> DedupConfig:
    return DedupConfig.from_values({"scores": {"a": "a"}, "output": "o", "column": "c", "method": method, **values})


def candidates_of(sources: list[int]) -> Candidates:
    uids = np.array([(number * 31, number) for number in range(len(sources))], dtype=UID_DTYPE)
    return Candidates(uids, ("one", "two"), np.array(sources, dtype=np.int16), {}, (len(sources),))


def parts_of(count: int, is_near) -> list[list[int]]:
    """The connected parts of a graph, by a search from every node."""
    parts, seen = [], set()
    for start in range(count):
        if start in seen:
            continue
        part, waiting = set(), [start]
        while waiting:
            node = waiting.pop()
            if node not in part:
                part.add(node)
                waiting += [other for other in range(count) if is_near(node, other)]
        seen |= part
        parts.append(sorted(part))
    return parts


# Few bits, so that many hashes are near to each other and chains are common.
hashes = st.lists(
    st.none()
    | st.lists(st.sampled_from([0, 7, 8, 31, 32, 62, 63]), max_size=5).map(
        lambda bits: sum(1 << bit for bit in set(bits))
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=60)
@given(hashes, st.integers(0, 3), st.data())
def test_clusters_are_the_connected_parts_and_each_has_one_representative(values, max_distance: int, data):
    count = len(values)
    sources = data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    prefer = data.draw(st.lists(st.none() | st.integers(0, 2), min_size=count, max_size=count))
    candidates = candidates_of(sources)
    config = config_of("perceptual", max_distance=max_distance)
    features = features_of(pa.array(values, pa.uint64()), config, "c")
    table = cluster_table(candidates, features, config, pa.array(prefer, pa.int64()))
    rows = [row for row, value in enumerate(values) if value is not None]
    uids, order = array_to_uids(candidates.uids), hash_uids(candidates.uids, config.seed).tolist()
    made = table.to_pylist()
    num_clusters = 0
    for part in parts_of(len(rows), lambda n, m: (values[rows[n]] ^ values[rows[m]]).bit_count() <= max_distance):
        members = [rows[place] for place in part]
        best = min(members, key=lambda row: (-(-1 if prefer[row] is None else prefer[row]), sources[row], order[row]))
        for row in members:
            assert made[row] == {
                "cluster": uids[best],
                "cluster_size": len(members),
                "duplicate": row != best,
                "nearness": (values[row] ^ values[best]).bit_count(),
            }
        num_clusters += len(members) > 1
    for row in set(range(count)) - set(rows):
        assert set(made[row].values()) == {None}
    counts = count_duplicates(table)
    assert counts == {"num_clusters": num_clusters, "num_duplicates": sum(bool(row["duplicate"]) for row in made)}


@settings(max_examples=60)
@given(hashes, hashes, st.integers(0, 4))
def test_a_match_is_the_first_of_the_nearest(ours, theirs, max_distance: int):
    config = config_of("perceptual", max_distance=max_distance)
    known = [value for value in theirs if value is not None]
    pictures = Pictures(
        tuple(f"b/{place}" for place in range(len(known))),
        Features(np.array(known, dtype=np.uint64), np.arange(len(known))),
    )
    features = features_of(pa.array(ours, pa.uint64()), config, "c")
    made = match_table(candidates_of([0] * len(ours)), features, pictures, config).to_pylist()
    for value, row in zip(ours, made, strict=True):
        near = [] if value is None else [((value ^ other).bit_count(), place) for place, other in enumerate(known)]
        distance, place = min(near, default=(65, -1))
        is_match = distance <= max_distance
        assert row == {"match": f"b/{place}" if is_match else None, "nearness": distance if is_match else None}


def drawing(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((96, 64), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format_: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def lying(image: Image.Image) -> bytes:
    """A JPEG whose pixels lie on their side, and whose EXIF says how to turn them back."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=90, exif=exif)


AGAIN = {
    "jpeg": lambda image: encoded(image, "JPEG", quality=60),
    "webp": lambda image: encoded(image, "WEBP", quality=60),
    "half": lambda image: encoded(image.resize((48, 32))),
    "grey": lambda image: encoded(image.convert("L")),
    "lying": lying,
}
OTHERWISE = {
    "turned": lambda image: encoded(image.transpose(Image.Transpose.ROTATE_90)),
    "mirrored": lambda image: encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "cropped": lambda image: encoded(image.crop((40, 20, 96, 64))),
}


@pytest.fixture
def scored(make_pool, pair, uid_of, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A drawing, the same one again in five ways, and three pictures that it was made into; scored twice."""
    contents = {"original": encoded(drawing(1))}
    contents |= {name: change(drawing(1)) for name, change in {**AGAIN, **OTHERWISE}.items()}
    uids = {name: uid_of(number) for number, name in enumerate(contents)}
    pool = make_pool([[pair(name, content, "x", uids[name]) for name, content in contents.items()]]).path
    for scorer in (RulesScorerConfig(), PhashScorerConfig(name="phash")):
        run.score(ScoreConfig(pool=pool, output=tmp_path / scorer.name, scorer=scorer))
    return tmp_path, uids


def test_what_is_encoded_anew_is_a_duplicate_and_what_is_turned_is_not(scored: tuple[Path, dict[str, str]]):
    directory, uids = scored
    values = {"scores": {"p": directory / "phash"}, "method": "perceptual", "output": directory / "dedup"}
    report = run.dedup(DedupConfig.from_values(values))
    assert report.counts == {"num_clusters": 1, "num_duplicates": len(AGAIN)}
    rows = {row["uid"]: row for row in pq.read_table(directory / "dedup" / "duplicates.parquet").to_pylist()}
    cluster = {row["cluster"] for name, uid in uids.items() if name not in OTHERWISE for row in [rows[uid]]}
    assert len(cluster) == 1
    assert all(rows[uids[name]]["cluster_size"] == 1 for name in OTHERWISE)


@pytest.mark.parametrize(("method", "again"), [("exact", set()), ("perceptual", set(AGAIN))])
def test_a_picture_of_a_benchmark_is_found_however_it_is_encoded(
    scored: tuple[Path, dict[str, str]], make_benchmark, method: str, again: set[str]
):
    directory, uids = scored
    original = encoded(drawing(1))
    benchmark = make_benchmark({"q1": [encoded(drawing(9))], "q2": [original, b"broken"], "q3": [original]})
    values = {
        "scores": {"r": directory / "rules", "p": directory / "phash"},
        "method": method,
        "against": {"bench": benchmark.path},
        "output": directory / "seen",
    }
    report = run.dedup(DedupConfig.from_values(values))
    rows = pq.read_table(directory / "seen" / "duplicates.parquet").to_pylist()
    matched = {row["uid"]: row["match"] for row in rows if row["match"] is not None}
    assert matched.keys() == {uids["original"], *(uids[name] for name in again)}
    assert set(matched.values()) == {matched[uids["original"]]}
    assert matched[uids["original"]].startswith("bench/q2")
    assert report.counts == {"num_matches": len(matched), "num_matches.bench": len(matched)}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"max_distance": 17}, "max_distance"),
        ({"max_distance": -1}, "max_distance"),
        ({"min_cosine": 0}, "min_cosine"),
        ({"min_cosine": 1.1}, "min_cosine"),
        ({"method": "sound"}, "method"),
        ({"scores": {}}, "scores"),
        ({"seed": 2**64}, "seed"),
    ],
)
def test_a_comparison_without_a_meaning_is_refused(values: dict, problem: str):
    with pytest.raises(ConfigError, match=problem):
        config_of(**{"method": "perceptual", **values})
