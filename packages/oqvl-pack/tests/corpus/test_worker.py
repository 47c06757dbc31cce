"""One source shard, one output shard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oqvl_pack.config import PackConfig
from oqvl_pack.corpus.shard_packing import ShardDivision, join_divisions
from oqvl_pack.corpus.worker import InputPart, Job, OutputPart, divide_part, tokenize_shard, write_shard
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
def parts(job: Job) -> list[InputPart]:
    return [InputPart(index, shard) for index, shard in enumerate(list_shards(open_sources(job.config)))]


def divide(parts: list[InputPart], job: Job) -> tuple[list[ShardDivision], list[np.ndarray]]:
    lengths = [tokenize_shard(part, job).lengths for part in parts]
    divisions = [divide_part(replace(part, lengths=one), job) for part, one in zip(parts, lengths, strict=True)]
    return divisions, lengths


def test_account_closes(job: Job, parts: list[InputPart]) -> None:
    summary = tokenize_shard(parts[0], job)
    assert sum(summary.rejected.values()) + len(summary.lengths) == 40
    assert len(summary.lengths) == len(summary.num_stored) == len(summary.image_bytes) == 37
    assert (summary.lengths - summary.num_stored == 15).all()
    [division], _ = divide(parts[:1], job)
    assert sorted([*division.documents.tolist(), *division.leftovers.tolist()]) == list(range(37))


def test_only_chosen_documents_are_packed(job: Job, parts: list[InputPart]) -> None:
    is_chosen = np.arange(37) % 3 == 1
    lengths = tokenize_shard(parts[0], job).lengths
    division = divide_part(replace(parts[0], lengths=lengths, is_chosen=is_chosen), job)
    assert sorted([*division.documents.tolist(), *division.leftovers.tolist()]) == np.flatnonzero(is_chosen).tolist()


@pytest.mark.parametrize(("layout", "name"), [("embedded", "shard-00001.tar"), ("reference", "shard-00001.arrow")])
def test_finished_shards_are_not_made_again(
    job: Job, parts: list[InputPart], layout: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = replace(job, config=job.config.model_copy(update={"layout": layout}))
    divisions, lengths = divide(parts, job)
    packs = join_divisions(divisions, lengths, job.config)
    part = OutputPart(3, packs.part(3, 6), {part.index: part.shard for part in parts})
    receipt = write_shard(part, job)
    assert receipt.shard.path == name == job.output_name(part)
    assert receipt.statistics["num_documents"] == len(part.packs.documents)
    monkeypatch.setattr(Job, "tokenizer", None)
    assert write_shard(part, job) == receipt
    assert tokenize_shard(parts[1], job).lengths.tolist() == lengths[1].tolist()


def test_missing_work_file_is_named(job: Job, parts: list[InputPart]) -> None:
    divisions, lengths = divide(parts[:1], job)
    packs = join_divisions(divisions, lengths, job.config)
    (job.config.output / "work" / "00000.npz").unlink()
    with pytest.raises(DataError, match=r"the tokens of 00000.tar have gone from"):
        write_shard(OutputPart(0, packs.part(0, 2), {0: parts[0].shard}), job)


def test_without_a_step_nothing_is_written(job: Job, parts: list[InputPart]) -> None:
    tokenize_shard(parts[0], replace(job, step=""))
    assert not job.config.output.exists()
