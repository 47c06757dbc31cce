"""One source shard, one output shard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oqvl_pack.config import PackConfig
from oqvl_pack.corpus.shard_packing import ShardPacking, join_shards
from oqvl_pack.corpus.worker import InputShard, Job, OutputShard, pack_input_shard, tokenize_shard, write_shard
from oqvl_pack.documents.source import list_shards, open_sources
from oqvl_shards.errors import DataError


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
    return Job(config, frozenset({"caption"}), step="0" * 64, image_token_id=261)


@pytest.fixture
def input_shards(job: Job) -> list[InputShard]:
    return [InputShard(index, shard) for index, shard in enumerate(list_shards(open_sources(job.config)))]


def pack_each(input_shards: list[InputShard], job: Job) -> tuple[list[ShardPacking], list[np.ndarray]]:
    lengths = [tokenize_shard(shard, job).lengths for shard in input_shards]
    packings = [
        pack_input_shard(replace(shard, lengths=of_shard), job)
        for shard, of_shard in zip(input_shards, lengths, strict=True)
    ]
    return packings, lengths


def test_account_closes(job: Job, input_shards: list[InputShard]) -> None:
    summary = tokenize_shard(input_shards[0], job)
    assert sum(summary.rejected.values()) + len(summary.lengths) == 40
    assert len(summary.lengths) == len(summary.num_stored) == len(summary.image_bytes) == 37
    assert (summary.lengths - summary.num_stored == 15).all()
    [packing], _ = pack_each(input_shards[:1], job)
    assert sorted([*packing.documents.tolist(), *packing.leftovers.tolist()]) == list(range(37))


def test_only_chosen_documents_are_packed(job: Job, input_shards: list[InputShard]) -> None:
    is_chosen = np.arange(37) % 3 == 1
    lengths = tokenize_shard(input_shards[0], job).lengths
    packing = pack_input_shard(replace(input_shards[0], lengths=lengths, is_chosen=is_chosen), job)
    assert sorted([*packing.documents.tolist(), *packing.leftovers.tolist()]) == np.flatnonzero(is_chosen).tolist()


@pytest.mark.parametrize(("layout", "name"), [("embedded", "shard-00001.tar"), ("reference", "shard-00001.arrow")])
def test_finished_shards_are_not_made_again(
    job: Job, input_shards: list[InputShard], layout: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = replace(job, config=job.config.model_copy(update={"layout": layout}))
    packings, lengths = pack_each(input_shards, job)
    packs = join_shards(packings, lengths, job.config)
    output_shard = OutputShard(3, packs.between(3, 6), {shard.index: shard.shard for shard in input_shards})
    receipt = write_shard(output_shard, job)
    assert receipt.shard.path == name == job.output_name(output_shard)
    assert receipt.statistics["num_documents"] == len(output_shard.packs.documents)
    monkeypatch.setattr(Job, "tokenizer", None)
    assert write_shard(output_shard, job) == receipt
    assert tokenize_shard(input_shards[1], job).lengths.tolist() == lengths[1].tolist()


def test_missing_work_file_is_named(job: Job, input_shards: list[InputShard]) -> None:
    packings, lengths = pack_each(input_shards[:1], job)
    packs = join_shards(packings, lengths, job.config)
    (job.config.output / "work" / "00000.npz").unlink()
    with pytest.raises(DataError, match=r"the tokens of 00000.tar are missing from"):
        write_shard(OutputShard(0, packs.between(0, 2), {0: input_shards[0].shard}), job)


def test_without_a_step_nothing_is_written(job: Job, input_shards: list[InputShard]) -> None:
    tokenize_shard(input_shards[0], replace(job, step=""))
    assert not job.config.output.exists()


def test_a_source_that_shrank_after_it_was_tokenised(job: Job, input_shards: list[InputShard]) -> None:
    packings, lengths = pack_each(input_shards, job)
    packs = join_shards(packings, lengths, job.config)
    output_shard = OutputShard(0, packs.between(0, 3), {shard.index: shard.shard for shard in input_shards})
    source = input_shards[0].shard.path
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(DataError, match=r"the source of '000000000\.\d+\.(jpg|png)' ends \d+ bytes early"):
        write_shard(output_shard, job)
    assert [path.name for path in job.config.output.iterdir()] == ["work"]  # neither a shard nor a receipt
    # With the file back, the same run goes on, and writes what a run without the accident writes.
    source.write_bytes(whole)
    receipt = write_shard(output_shard, job)
    other = replace(job, config=job.config.model_copy(update={"output": job.config.output.with_name("other")}))
    for shard in input_shards:
        tokenize_shard(shard, other)
    assert write_shard(output_shard, other).shard == receipt.shard


def test_a_damaged_work_file_is_tokenised_again(job: Job, input_shards: list[InputShard]) -> None:
    expected = tokenize_shard(input_shards[0], job)
    path = job.config.output / "work" / "00000.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    again = tokenize_shard(input_shards[0], job)
    assert again.lengths.tolist() == expected.lengths.tolist()
    assert path.read_bytes() == whole
