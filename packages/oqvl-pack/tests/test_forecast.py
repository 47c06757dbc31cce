"""What `plan` predicts: sizes close to what is written, savings by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_pack.binpacking.shuffle import permutation
from oqvl_pack.config import PackConfig, PlanConfig
from oqvl_pack.corpus.packed_corpus import pack_corpus
from oqvl_pack.corpus.worker import Job
from oqvl_pack.corpus.write_timing import WriteTiming
from oqvl_pack.documents.source import open_sources
from oqvl_pack.forecast import forecast, padded_slots
from oqvl_pack.run import pack_dataset, plan_dataset
from oqvl_shards.manifest import ImageTextDetails


def test_padded_slots() -> None:
    assert padded_slots(np.asarray([3, 3, 3, 3]), 2, seed=0) == 12
    assert padded_slots(np.asarray([5, 1, 1]), 3, seed=0) == 15
    assert padded_slots(np.asarray([5, 1, 1]), 1, seed=0) == 7
    assert padded_slots(np.asarray([5, 1, 1]), 2, seed=0) in (11, 7)


@pytest.mark.parametrize("layout", ["embedded", "reference"])
def test_size_on_disk_is_about_what_is_written(
    captions: Path, tokenizer_file: Path, tmp_path: Path, layout: str
) -> None:
    values = {"source": captions, "output": tmp_path / "out", "tokenizer": tokenizer_file, "bin_capacity": 1024}
    report = plan_dataset(PlanConfig.model_validate(values))
    pack_dataset(PackConfig.model_validate({**values, "layout": layout}))
    written = sum(path.stat().st_size for path in (tmp_path / "out").glob("shard-*"))
    predicted = report.bytes_embedded if layout == "embedded" else report.bytes_reference
    # A file of some hundred short documents is a third schema and footer.
    assert predicted == pytest.approx(written, rel=0.1, abs=6000)


def test_gpu_hours(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    values = {"source": captions, "output": tmp_path, "tokenizer": tokenizer_file, "bin_capacity": 400}
    assert plan_dataset(PlanConfig.model_validate(values)).training is None
    report = plan_dataset(PlanConfig.model_validate({**values, "tokens_per_second": 10.0, "num_gpus": 2}))
    training = report.training
    assert training is not None
    slots = report.num_packs * 400
    assert training.gpu_hours == pytest.approx(slots / 36_000)
    assert training.hours == pytest.approx(training.gpu_hours / 2)
    assert training.gpu_hours_saved_to_ffd == pytest.approx((report.num_sequences_ffd * 400 - slots) / 36_000)
    assert training.gpu_hours_saved_to_padding == pytest.approx((report.num_slots_padded - slots) / 36_000)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 9), st.integers(0, 9))
def test_padded_slots_against_a_loop(lengths: list[int], batch_size: int, seed: int) -> None:
    array = np.asarray(lengths)
    order = permutation(len(lengths), seed).tolist()
    batches = [[lengths[i] for i in order[start : start + batch_size]] for start in range(0, len(order), batch_size)]
    assert padded_slots(array, batch_size, seed) == sum(max(batch) * len(batch) for batch in batches)


def test_seconds_are_shared_by_as_many_writers_as_there_are_shards(
    captions: Path, tokenizer_file: Path, tmp_path: Path
) -> None:
    values = {"source": captions, "output": tmp_path / "out", "tokenizer": tokenizer_file, "bin_capacity": 1024}
    corpus_config = PlanConfig.model_validate({**values, "packs_per_shard": 10})
    job = Job(corpus_config, frozenset({"caption"}), image_token_id=261)
    corpus = pack_corpus(open_sources(corpus_config), job)
    timing = WriteTiming(
        directory=tmp_path,
        num_packs=1,
        num_bytes={"embedded": 1, "reference": 1},
        seconds={"embedded": 1.0, "reference": 2.0},
        num_work_tokens=1,
        seconds_saving_work=0.0,
    )
    alone = forecast(corpus, corpus_config, timing)
    assert alone.seconds_writing_embedded == alone.bytes_embedded
    assert alone.seconds_writing_reference == 2 * alone.bytes_reference
    num_shards = -(-alone.num_packs // 10)
    assert num_shards > 1
    for num_workers, num_writers in ((2, min(2, num_shards)), (100, num_shards)):
        shared = forecast(corpus, corpus_config.model_copy(update={"num_workers": num_workers}), timing)
        assert shared.seconds_writing_embedded == pytest.approx(alone.seconds_writing_embedded / num_writers)


def test_figures_are_those_of_the_corpus(captions: Path, tokenizer_file: Path, tmp_path: Path) -> None:
    values = {"source": captions, "output": tmp_path, "tokenizer": tokenizer_file, "bin_capacity": 1024}
    report = plan_dataset(PlanConfig.model_validate({**values, "padding_batch": 1}))
    assert report.num_slots_padded == report.num_tokens  # one sequence per batch needs no padding
    assert report.num_documents + sum(report.rejected.values()) == report.num_samples == 120
    assert report.lower_bound <= report.num_packs <= report.num_sequences_ffd
    assert report.lower_bound == max(report.bound_volume, report.bound_martello_toth, report.bound_cardinality)
    assert report.bound_max_documents == 0
    assert report.utilization == report.num_tokens / (report.num_packs * 1024)


def test_a_forecast_by_hand(
    make_dataset: Callable[..., Path], png: bytes, tokenizer_file: Path, tmp_path: Path
) -> None:
    # Begin, 4 visual tokens, newline, 3 letters, end: 10 tokens per document, of which 7 are stored.
    source = make_dataset(tmp_path / "pairs", [[{"png": png, "txt": b"abc"}] * 5], ImageTextDetails())
    values = {
        "source": source,
        "tokenizer": tokenizer_file,
        "visual_tokens_per_image": 4,
        "bin_capacity": 25,
        "padding_batch": 2,
        "tokens_per_second": 0.5,
        "num_gpus": 4,
    }
    report = plan_dataset(PlanConfig.model_validate(values))
    assert (report.num_documents, report.num_tokens, report.num_packs) == (5, 50, 3)
    assert (report.bound_volume, report.lower_bound, report.num_sequences_ffd) == (2, 3, 3)
    assert report.num_slots_padded == 50  # all are equally long
    assert report.utilization == 50 / 75
    # An id and a bool per stored token; a length and a key per document; position, tokens and type per image.
    records = 7 * 5 * (4 + 1) + 5 * (4 + 24) + 5 * (8 + 7)
    images = 5 * (512 + -(-len(png) // 512) * 512)
    assert report.bytes_embedded == records + 3 * (560 + 512 + 256) + images
    assert report.bytes_reference == records + 5 * 20
    # 75 slots take 150 GPU seconds; padding would take 100, which is less than three packs of 25.
    assert report.training is not None
    assert report.training.gpu_hours == pytest.approx(150 / 3600)
    assert report.training.hours == pytest.approx(150 / 3600 / 4)
    assert report.training.gpu_hours_saved_to_ffd == 0
    assert report.training.gpu_hours_saved_to_padding == pytest.approx(-50 / 3600)


def test_padding_by_hand(make_dataset: Callable[..., Path], png: bytes, tokenizer_file: Path, tmp_path: Path) -> None:
    texts = [b"a" * 3, b"a" * 13, b"a" * 23]
    source = make_dataset(tmp_path / "pairs", [[{"png": png, "txt": text} for text in texts]], ImageTextDetails())
    values = {"source": source, "tokenizer": tokenizer_file, "visual_tokens_per_image": 4, "bin_capacity": 30}
    slots = {}
    for padding_batch in (1, 2, 3, 4):
        config = PlanConfig.model_validate({**values, "padding_batch": padding_batch, "max_documents": 1})
        report = plan_dataset(config)
        slots[padding_batch] = report.num_slots_padded
        assert (report.num_packs, report.num_sequences_ffd, report.bound_max_documents) == (3, 3, 3)
    # Lengths 10, 20, 30: two of them in the first batch of two, and the third by itself.
    assert (slots[1], slots[3], slots[4]) == (60, 90, 90)
    assert slots[2] in (2 * 20 + 30, 2 * 30 + 10, 2 * 30 + 20)
