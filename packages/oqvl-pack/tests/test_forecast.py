"""What `plan` predicts: sizes close to what is written, savings by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oqvl_pack.config import PackConfig, PlanConfig
from oqvl_pack.forecast import padded_slots
from oqvl_pack.run import pack_dataset, plan_dataset


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
