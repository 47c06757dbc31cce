"""Timing the writing: some packs, both layouts, nothing left behind, seconds in proportion."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from oqvl_pack.config import PackConfig
from oqvl_pack.corpus import write_timing as module
from oqvl_pack.corpus.packed_corpus import PackedCorpus, pack_corpus
from oqvl_pack.corpus.worker import Job
from oqvl_pack.corpus.write_timing import WriteTiming, time_writing
from oqvl_pack.documents.source import open_sources
from oqvl_pack.run import pack_dataset


@pytest.fixture
def job(captions: Path, tokenizer_file: Path, tmp_path: Path) -> Job:
    config = PackConfig(
        source=captions,
        output=tmp_path / "not" / "there",
        tokenizer=tokenizer_file,
        bin_capacity=256,
        visual_tokens_per_image=16,
        packs_per_shard=5,
    )
    return Job(config, frozenset({"caption"}), image_token_id=261)


@pytest.fixture
def corpus(job: Job) -> PackedCorpus:
    return pack_corpus(open_sources(job.config), job)


@pytest.mark.parametrize("layout", ["embedded", "reference"])
def test_what_is_written_is_what_a_run_writes(job: Job, corpus: PackedCorpus, tmp_path: Path, layout: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    timing = time_writing(corpus, job)
    assert sorted(tmp_path.rglob("*")) == before
    assert timing.num_packs == 5
    assert timing.directory == tmp_path
    assert timing.num_work_tokens == corpus.summaries[0].num_stored.sum()
    pack_dataset(job.config.model_copy(update={"output": tmp_path / "packed", "layout": layout}))
    written = next((tmp_path / "packed").glob("shard-00000.*"))
    assert timing.num_bytes[layout] == written.stat().st_size
    assert timing.seconds[layout] > 0 < timing.seconds_saving_work


def test_one_source_shard_and_few_bytes_are_enough(
    job: Job, corpus: PackedCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = Job(job.config.model_copy(update={"packs_per_shard": 1000}), job.templates, image_token_id=261)
    of_first = int((np.maximum.reduceat(corpus.packs.shards, corpus.packs.offsets[:-1]) == 0).argmin())
    assert 0 < of_first < corpus.packs.num_packs
    assert time_writing(corpus, many).num_packs == of_first
    monkeypatch.setattr(module, "_MAX_BYTES", 0)
    assert time_writing(corpus, many).num_packs == 1


def test_output_that_may_not_be_written(
    job: Job, corpus: PackedCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.setattr(module.tempfile, "tempdir", str(elsewhere))
    make = os.mkdir

    def refuse(path: str, *arguments: int) -> None:
        if Path(path).parent == tmp_path:
            raise PermissionError(13, "Permission denied", path)
        make(path, *arguments)

    monkeypatch.setattr(os, "mkdir", refuse)
    assert time_writing(corpus, job).directory == elsewhere
    assert list(elsewhere.iterdir()) == []


def test_seconds_are_in_proportion() -> None:
    timing = WriteTiming(
        directory=Path(),
        num_packs=10,
        num_bytes={"embedded": 1000, "reference": 10},
        seconds={"embedded": 2.0, "reference": 0.5},
        num_work_tokens=100,
        seconds_saving_work=0.1,
    )
    assert timing.seconds_writing("embedded", 5000, 400) == pytest.approx(10.4)
    assert timing.seconds_writing("reference", 20, 100) == pytest.approx(1.1)
