from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_filter import run
from oqvl_filter.config import DedupConfig, ImportPicturesConfig, ScoreConfig
from oqvl_filter.importers import pictures
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError, ManifestError
from oqvl_shards.tar.reader import ShardReader


def captions(directory: Path) -> list[str]:
    """The captions of a pool, in order."""
    dataset = open_dataset(directory)
    found = []
    for shard in dataset.manifest.shards:
        with ShardReader(dataset.shard_path(shard)) as reader:
            assert not reader.rejects
            found += [reader.text(sample) for sample in reader.samples]
    return found


def test_pictures_of_a_benchmark_become_a_pool(make_benchmark, picture, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(pictures, "_SAMPLES_PER_SHARD", 2)
    shared = picture((1, 2, 3))
    benchmark = make_benchmark({"q1": [shared], "q2": [shared, picture((4, 5, 6))], "q3": [b"no", picture((7, 8, 9))]})
    config = ImportPicturesConfig(source=benchmark.path, output=tmp_path / "pool", name="bench")
    report = run.import_pictures(config)
    assert captions(tmp_path / "pool") == ["q1", "q2#2", "q3#2"]
    assert report.account.model_dump() == {
        "num_in": 5,
        "num_kept": 3,
        "rejected": {"image_broken": 1, "repeated_picture": 1},
    }
    assert report.num_shards == 2
    assert open_dataset(tmp_path / "pool").manifest.lineage.parents == (benchmark.manifest.digest(),)
    assert run.import_pictures(config) == report


def test_a_folder_becomes_a_pool_that_scorers_and_dedup_read(make_pool, plain_pairs, picture, tmp_path: Path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    pool = make_pool([plain_pairs(9)])
    (folder / "10.png").write_bytes(picture((0, 0, 200), (40, 30)))
    (folder / "9.PNG").write_bytes(plain_pairs(1)[0].image)
    (folder / "sub" / "x.jpg").write_bytes(picture((99, 0, 0)))  # a PNG all the same
    (folder / "notes.txt").write_text("no picture")
    run.import_pictures(ImportPicturesConfig(source=folder, output=tmp_path / "eval", name="eval"))
    assert captions(tmp_path / "eval") == ["9.PNG", "10.png", "sub/x.jpg"]
    scores = {}
    for name, path in (("ours", pool.path), ("theirs", tmp_path / "eval")):
        scores[name] = tmp_path / f"{name}-rules"
        run.score(ScoreConfig(pool=path, output=scores[name]))
    config = {"scores": {"rules": scores["ours"]}, "method": "exact", "against": {"eval": scores["theirs"]}}
    report = run.dedup(DedupConfig.from_values({**config, "output": tmp_path / "seen"}))
    assert report.counts == {"num_matches": 1, "num_matches.eval": 1}
    (folder / "10.png").unlink()
    with pytest.raises(ConfigError, match="already holds"):
        run.import_pictures(ImportPicturesConfig(source=folder, output=tmp_path / "eval", name="eval"))


def test_what_holds_no_pictures_is_refused(make_pool, plain_pairs, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"found no jpeg, jpg, png, webp file and no manifest"):
        run.import_pictures(ImportPicturesConfig(source=tmp_path / "empty", output=tmp_path / "o", name="x"))
    with pytest.raises(ManifestError, match="expected benchmark"):
        run.import_pictures(
            ImportPicturesConfig(source=make_pool([plain_pairs(1)]).path, output=tmp_path / "o", name="x")
        )
    with pytest.raises(ConfigError, match="absent is not a folder"):
        run.import_pictures(ImportPicturesConfig(source=tmp_path / "absent", output=tmp_path / "o", name="x"))
