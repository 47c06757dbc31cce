from __future__ import annotations

import pytest

from oqvl_filter.config import RulesScorerConfig
from oqvl_filter.score_file import read_table
from oqvl_filter.scoring import fill_counts, score_shard, scoring_jobs
from oqvl_shards.sample import ReadLimits


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


def test_counts_go_over_the_pool_and_filling_them_again_changes_nothing(jobs):
    scorer_columns = {"caption_count": "caption_sha", "image_count": "content_sha"}
    receipts = [score_shard(job, RulesScorerConfig(), ReadLimits()) for job in jobs]
    counted = fill_counts(receipts, jobs, scorer_columns)
    first, second = (read_table(job.directory / job.file_name) for job in jobs)
    assert first["caption_count"].to_pylist() == [2, 1]
    assert first["image_count"].to_pylist() == [2, 1]
    assert second["caption_count"].to_pylist() == [2]
    assert fill_counts(counted, jobs, scorer_columns) == counted
