from __future__ import annotations

import sys

import pytest

from oqvl_filter import run
from oqvl_filter.config import ClipScorerConfig, RulesScorerConfig, ScoreConfig
from oqvl_filter.score_file import read_table
from oqvl_filter.scorers.scoring import fill_counts, score_shard, scoring_jobs
from oqvl_shards.errors import DataError, MissingExtraError
from oqvl_shards.tar.sample import ReadLimits


@pytest.fixture
def jobs(make_pool, plain_pairs, pair, picture, tmp_path):
    pool = make_pool([plain_pairs(2), [pair("copy", picture((0, 0, 0), (20, 16)), "Caption  0")]])
    return scoring_jobs(pool, tmp_path / "scores", step="5" * 64)


def test_a_finished_shard_is_kept(jobs):
    first = score_shard(jobs[0], RulesScorerConfig(), ReadLimits())
    jobs[0].source.unlink()
    assert score_shard(jobs[0], RulesScorerConfig(), ReadLimits()) == first


def test_a_shard_of_another_step_or_another_size_is_made_again(jobs):
    score_shard(jobs[0], RulesScorerConfig(), ReadLimits())
    path = jobs[0].directory / jobs[0].file_name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    score_shard(jobs[0], RulesScorerConfig(), ReadLimits())
    assert path.read_bytes() == whole


def test_a_shard_that_has_lost_samples_is_an_error(jobs):
    whole = jobs[0].source.read_bytes()
    for damaged in (b"\0" * 1024 + whole[1024:], b"x" + whole[1:], whole[:2048]):
        jobs[0].source.write_bytes(damaged)
        with pytest.raises(DataError, match=r"holds [01] samples, expected 2"):
            score_shard(jobs[0], RulesScorerConfig(), ReadLimits())


def test_a_pool_without_a_shard_is_refused(make_pool, tmp_path):
    with pytest.raises(DataError, match="has no shards"):
        run.score(ScoreConfig(pool=make_pool([]).path, output=tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_counts_go_over_the_pool_and_filling_them_again_changes_nothing(jobs):
    scorer_columns = {"caption_count": "caption_sha", "image_count": "content_sha"}
    receipts = [score_shard(job, RulesScorerConfig(), ReadLimits()) for job in jobs]
    counted = fill_counts(receipts, jobs, scorer_columns)
    first, second = (read_table(job.directory / job.file_name) for job in jobs)
    assert first["caption_count"].to_pylist() == [2, 1]
    assert first["image_count"].to_pylist() == [2, 1]
    assert second["caption_count"].to_pylist() == [2]
    again = fill_counts(counted, jobs, scorer_columns)
    assert [receipt.shard for receipt in again] == [receipt.shard for receipt in counted]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_ray_cluster_writes_the_same_bytes(make_pool, plain_pairs, tmp_path):
    pool = make_pool([plain_pairs(3), plain_pairs(3, start=3), plain_pairs(2, start=6)])
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "local"))
    run.score(ScoreConfig(pool=pool.path, output=tmp_path / "ray", engine="ray"))
    names = ["00000.parquet", "00001.parquet", "00002.parquet", "manifest.json"]
    for directory in (tmp_path / "local", tmp_path / "ray"):
        assert sorted(path.name for path in directory.iterdir()) == names
    for name in names:
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


def test_ray_that_is_not_installed_is_named(make_pool, plain_pairs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match="ray"):
        run.score(ScoreConfig(pool=make_pool([plain_pairs(1)]).path, output=tmp_path / "ray", engine="ray"))


def test_a_finished_output_answers_without_loading_the_model(make_pool, plain_pairs, tmp_path, tiny_clip, monkeypatch):
    pool = make_pool([plain_pairs(2)])
    config = ScoreConfig(
        pool=pool.path, output=tmp_path / "clip", scorer=ClipScorerConfig(name="clip", model=tiny_clip)
    )
    first = run.score(config)
    monkeypatch.setattr("oqvl_filter.scorers.scoring._shared", [])
    monkeypatch.setitem(sys.modules, "open_clip", None)
    assert run.score(config) == first
