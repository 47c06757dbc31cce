"""One source shard, one output shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oqvl_pack.config import PackConfig
from oqvl_pack.division import join_divisions
from oqvl_pack.worker import Job, tokenize_shard, write_shard
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import open_dataset


@pytest.fixture
def job(captions: Path, tokenizer_file: Path, tmp_path: Path) -> Job:
    config = PackConfig(
        source=captions,
        output=tmp_path / "packed",
        tokenizer=tokenizer_file,
        bin_capacity=256,
        visual_tokens_per_image=16,
        packs_per_shard=3,
    )
    return Job(config, open_dataset(captions), step="0" * 64)


def test_account_closes(job: Job) -> None:
    summary = tokenize_shard(0, job)
    assert (summary.account.num_in, summary.account.num_kept) == (40, 37)
    assert len(summary.lengths) == 37
    kept = np.concatenate([summary.division.documents, summary.division.leftovers])
    assert sorted(kept.tolist()) == list(range(37))


def test_finished_shards_are_not_made_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    summaries = [tokenize_shard(index, job) for index in range(3)]
    packs = join_divisions([s.division for s in summaries], [s.lengths for s in summaries], job.config)
    part = (3, packs.part(3, 6))
    receipt = write_shard(part, job)
    assert receipt.shard.path == "shard-00001.tar" == job.output_name(part)
    assert receipt.statistics["num_documents"] == len(part[1].documents)
    monkeypatch.setattr(Job, "tokenizer", None)
    assert write_shard(part, job) == receipt
    assert tokenize_shard(1, job).lengths.tolist() == summaries[1].lengths.tolist()


def test_missing_work_file_is_named(job: Job) -> None:
    summary = tokenize_shard(0, job)
    packs = join_divisions([summary.division], [summary.lengths], job.config)
    (job.config.output / "work" / "00000.npz").unlink()
    with pytest.raises(DataError, match=r"the tokens of 00000.tar have gone from"):
        write_shard((0, packs.part(0, 2)), job)


def test_without_a_step_nothing_is_written(job: Job) -> None:
    tokenize_shard(0, Job(job.config, job.source))
    assert not job.config.output.exists()
