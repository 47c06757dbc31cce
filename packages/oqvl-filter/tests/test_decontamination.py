"""Pictures of an evaluation set, found among stored embeddings and left out: the commands, one after another."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from oqvl_filter.cli import app
from oqvl_filter.score_file import read_table
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.tar.reader import ShardReader

MIN_COSINE = 0.9999
"""Random weights put all pictures near to each other; the same pixels stay the nearest."""


def run(command: str, **values: object) -> dict:
    """Run a command in one process; return its report."""
    arguments = [f"{name.replace('__', '.')}={value}" for name, value in values.items()]
    result = CliRunner().invoke(app, [*command.split(), *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def drawn(seed: int, format_: str = "PNG") -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    options = {"quality": 100, "subsampling": 0} if format_ == "JPEG" else {}
    Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.fixture
def embedded(make_pool, pair, uid_of, tiny_clip: str, tmp_path: Path, monkeypatch) -> Path:
    """The scores of a pool in two shards with a broken picture, and those of two pictures of an evaluation set."""
    monkeypatch.chdir(tmp_path)
    pairs = [pair(f"{n}", drawn(n), f"picture {n}", uid_of(n)) for n in range(9)]
    pairs[7] = pair("7", drawn(7)[:40], "broken", uid_of(7))
    make_pool([pairs[:4], pairs[4:]])
    Path("eval").mkdir()
    Path("eval/seen.jpg").write_bytes(drawn(5, "JPEG"))
    Path("eval/new.png").write_bytes(drawn(50))
    run("import pictures", source="eval", output="pictures", name="eval")
    for pool in ("pool", "pictures"):
        score(pool, f"{pool}-clip", tiny_clip)
    return tmp_path


def score(pool: str, output: str, model: str, **values: object) -> None:
    scorer = {"scorer__name": "clip", "scorer__model": model, "scorer__image_embedding": "float16"}
    run("score", pool=pool, output=output, num_workers=1, **scorer, **values)


def dedup(**values: object) -> dict:
    return run(
        "dedup", method="embedding", scores__ours="pool-clip", against__eval="pictures-clip", output="seen", **values
    )


def test_pictures_of_an_evaluation_set_are_left_out_by_stored_embeddings(embedded: Path, uid_of):
    hidden = {path: path.read_bytes() for path in embedded.glob("p*/*.tar")}
    assert len(hidden) == 3
    for path in hidden:
        path.unlink()  # no picture is read again
    report = dedup(min_cosine=MIN_COSINE)
    assert report["counts"] == {"num_matches": 1, "num_matches.eval": 1}
    assert report["account"]["rejected"] == {"no ours.image_embedding": 1}
    rows = {row["uid"]: row for row in read_table(embedded / "seen" / "duplicates.parquet").to_pylist()}
    match = rows[uid_of(5)]
    assert [uid for uid, row in rows.items() if row["match"]] == [uid_of(5)]
    assert rows[uid_of(7)]["reject"] == "no ours.image_embedding"
    for path, content in hidden.items():
        path.write_bytes(content)
    with ShardReader(embedded / "pictures" / "00000.tar") as reader:
        captions = {sample.key: reader.text(sample) for sample in reader.samples}
    keys = read_table(embedded / "pictures-clip" / "00000.parquet", ["uid", "key"]).to_pylist()
    (key,) = (row["key"] for row in keys if f"eval/{row['uid']}" == match["match"])
    assert captions[key] == "seen.jpg"
    assert match["nearness"] == pytest.approx(nearness_of(embedded, uid_of(5), key), abs=1e-5)
    kept = {"pools": "pool", "scores__ours": "pool-clip", "scores__seen": "seen"}
    rule = "seen.match is null and ours.image_embedding is not null"
    run("select", **kept, output="clean", keep=rule)
    run("reshard", pools="pool", subset="clean", output="train", name="train", keys="original", num_workers=1)
    (shard,) = open_dataset(embedded / "train").manifest.shards
    with ShardReader(embedded / "train" / shard.path) as reader:
        assert [sample.key for sample in reader.samples] == ["0", "1", "2", "3", "4", "6", "8"]
    run("page", **kept, benchmarks__eval="pictures", output="report.html")
    assert "seen.jpg" in Path("report.html").read_text(encoding="utf-8")


def nearness_of(directory: Path, uid: str, key: str) -> float:
    tables = [read_table(path) for path in sorted(directory.glob("p*-clip/*.parquet"))]
    vectors = [row["image_embedding"] for table in tables for row in table.to_pylist() if row["uid"] == uid]
    vectors += [row["image_embedding"] for row in tables[0].to_pylist() if row["key"] == key]
    left, right = (np.array(vector) / np.linalg.norm(vector) for vector in vectors)
    return float(left @ right)


@pytest.mark.parametrize("scorer", [{"scorer__decoder": "fast"}, {"scorer__precision": "bf16"}])
def test_vectors_of_two_models_are_not_compared(embedded: Path, tiny_clip: str, scorer: dict):
    score("pictures", "other", tiny_clip, **scorer)
    with pytest.raises(ConfigError, match="other have the fingerprints"):
        dedup(against__other="other")


def test_vectors_of_two_lengths_are_not_compared(embedded: Path, uid_of):
    np.savez(embedded / "0.npz", image_embedding=np.ones((2, 3), np.float16))
    pq.write_table(pa.table({"uid": [uid_of(1), uid_of(2)], "size": [1, 2]}), embedded / "0.parquet")
    imported = {"source": "0.parquet", "output": "other", "name": "other", "embeddings": "image_embedding"}
    run("import datacomp", **imported, columns__size="size", num_workers=1)
    with pytest.raises(ConfigError, match="pool-clip and other have the lengths 16 and 3"):
        dedup(against__other="other")
