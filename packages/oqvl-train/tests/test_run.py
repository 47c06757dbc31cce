"""What a run promises: exactness over micro-batches and processes, exact resume, graceful stops, agreement on NaN."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import pytest
import tiny_trainee
import torch
from processes import MakeConfig, Processes, digests, pack_of_step
from safetensors.torch import load_file

from oqvl_shards.check import check_shards
from oqvl_shards.claim import claim
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.manifest import Kind, PackedDetails
from oqvl_shards.packed import PackedReader
from oqvl_train.data_order import DataOrder
from oqvl_train.errors import TrainingInterruptedError
from oqvl_train.metrics import StepMetrics, read_metrics
from oqvl_train.run import train

TOLERANCE = 1e-6
"""Largest difference of a loss or weight between two ways to compute the same sums in fp32."""


def metrics(output: Path) -> list[StepMetrics]:
    return read_metrics(output / "metrics.jsonl")


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "model" / "model.safetensors")


def assert_same_run(found: Path, expected: Path) -> None:
    """Both runs did the same, apart from rounding."""
    for row, wanted in zip(metrics(found), metrics(expected), strict=True):
        assert row.loss == pytest.approx(wanted.loss, abs=TOLERANCE)
        assert row.grad_norm == pytest.approx(wanted.grad_norm, abs=TOLERANCE)
        assert (row.num_targets, row.num_tokens) == (wanted.num_targets, wanted.num_tokens)
        assert (row.step, row.learning_rate) == (wanted.step, wanted.learning_rate)
    found_weights, expected_weights = weights(found), weights(expected)
    assert found_weights.keys() == expected_weights.keys()
    for name, tensor in found_weights.items():
        torch.testing.assert_close(tensor, expected_weights[name], rtol=0, atol=TOLERANCE, msg=name)


@pytest.fixture(scope="module")
def together(make_config: MakeConfig, two_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of two processes."""
    output = tmp_path_factory.mktemp("together") / "run"
    assert two_processes.train(make_config(output)) == [None, None]
    return output


class TestOneProcess:
    def test_the_model_is_a_verified_dataset_with_its_history(self, alone: Path, inputs: tuple[Path, Path]) -> None:
        dataset = open_dataset(alone / "model", Kind.CHECKPOINT)
        assert check_shards(dataset).is_good
        manifest = dataset.manifest
        assert manifest.lineage.parents == tuple(open_dataset(path).manifest.digest() for path in inputs)
        assert manifest.details.model_dump() == {
            "kind": Kind.CHECKPOINT,
            "architecture": "TinyModel",
            "stage": "pretrain",
            "step": 6,
            "visual_tokens_per_image": tiny_trainee.VISUAL_TOKENS,
        }
        packed = open_dataset(inputs[1]).manifest.details
        assert isinstance(packed, PackedDetails)
        assert manifest.statistics["num_tokens"] == 2 * packed.num_tokens

    def test_training_lowers_the_loss(self, alone: Path) -> None:
        losses = [row.loss for row in metrics(alone) if row.loss is not None]
        assert sum(losses[3:]) < sum(losses[:3]) - 0.3

    def test_a_finished_run_returns_its_report_without_work(self, alone: Path, make_config: MakeConfig) -> None:
        with tiny_trainee.accidents(error=pack_of_step(1, 0)):
            assert train(make_config(alone)).digest == open_dataset(alone / "model").manifest.digest()

    def test_another_configuration_does_not_overwrite_it(self, alone: Path, make_config: MakeConfig) -> None:
        with pytest.raises(ConfigError, match="learning_rate"):
            train(make_config(alone, learning_rate=2e-2))

    @pytest.mark.parametrize(
        "changes",
        [
            {"micro_batch_size": 4},
            {"micro_batch_size": 3, "num_loader_workers": 1},
            {"recompute": "full"},
            {"recompute": "selective", "deterministic": True},
        ],
        ids=str,
    )
    def test_how_the_sum_is_computed_does_not_matter(
        self, changes: dict[str, object], alone: Path, make_config: MakeConfig, tmp_path: Path
    ) -> None:
        train(make_config(tmp_path / "run", **changes))
        assert_same_run(tmp_path / "run", alone)

    def test_a_killed_run_resumes_to_the_bit(self, alone: Path, make_config: MakeConfig, tmp_path: Path) -> None:
        config = make_config(tmp_path / "run", checkpoint_every=1, log_every=1)
        with tiny_trainee.accidents(error=pack_of_step(3, 0)), pytest.raises(DataError, match="an accident"):
            train(config)
        # As if the run had been killed while it wrote the second checkpoint, whose step is already logged.
        checkpoints = tmp_path / "run" / "checkpoints"
        (checkpoints / "step-000002").rename(checkpoints / "step-000002.partial")
        assert [row.step for row in metrics(tmp_path / "run")] == [1, 2]
        assert train(config).is_finished
        assert digests(tmp_path / "run") == digests(alone)
        assert (tmp_path / "run/model/manifest.json").read_bytes() == (alone / "model/manifest.json").read_bytes()

    def test_a_batch_that_holds_all_packs_is_warned_of(
        self, make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        report = train(make_config(tmp_path / "run", global_batch_size=256, num_epochs=1))
        assert (report.num_steps, report.num_packs, report.global_batch_size) == (1, 11, 256)
        assert "single step: the batch (global_batch_size=256) holds all 11 packs" in caplog.text

    def test_random_numbers_resume_too(self, make_config: MakeConfig, tmp_path: Path) -> None:
        changes = {"trainee_options": {"dropout": 0.5}, "max_steps": 4, "num_epochs": None}
        train(make_config(tmp_path / "whole", **changes))
        config = make_config(tmp_path / "run", **changes)
        with tiny_trainee.accidents(error=pack_of_step(3, 0)), pytest.raises(DataError, match="an accident"):
            train(config)
        train(config)
        assert digests(tmp_path / "run") == digests(tmp_path / "whole")

    def test_frozen_parameters_stay(self, make_config: MakeConfig, inputs: tuple[Path, Path], tmp_path: Path) -> None:
        train(make_config(tmp_path / "run", max_steps=2, num_epochs=None, trainee_options={"frozen": ["layers.0"]}))
        before, after = load_file(inputs[0] / "model.safetensors"), weights(tmp_path / "run")
        changed = {
            name.split(".")[0] + "." + name.split(".")[1] for name in before if not before[name].equal(after[name])
        }
        assert changed == {"embed.weight", "head.weight", "layers.1", "projector.bias", "projector.weight"}

    def test_bf16_keeps_fp32_masters(self, alone: Path, make_config: MakeConfig, tmp_path: Path) -> None:
        train(make_config(tmp_path / "run", precision="bf16"))
        assert {tensor.dtype for tensor in weights(tmp_path / "run").values()} == {torch.float32}
        for row, expected in zip(metrics(tmp_path / "run"), metrics(alone), strict=True):
            assert row.loss == pytest.approx(expected.loss, abs=0.02)
            assert row.loss != expected.loss

    def test_a_step_that_is_not_finite_is_skipped_and_counted(self, make_config: MakeConfig, tmp_path: Path) -> None:
        config = make_config(tmp_path / "run", on_nonfinite="skip", num_epochs=1)
        with tiny_trainee.accidents(nan=pack_of_step(2, 0)):
            report = train(config)
        assert report.num_skipped_steps == 1
        assert [row.is_skipped for row in metrics(tmp_path / "run")] == [False, True, False]
        assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run").values())

    def test_packs_for_another_resolution_are_refused(self, make_config: MakeConfig, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="packed for 3, but the configuration says 144"):
            train(make_config(tmp_path / "run", visual_tokens_per_image=144))


@pytest.mark.distributed
class TestTwoProcesses:
    def test_the_packs_are_as_unbalanced_as_these_tests_need(self, inputs: tuple[Path, Path]) -> None:
        order = DataOrder(num_packs=11, global_batch_size=4, seed=7)
        packs = PackedReader(inputs[1])
        has_images, has_targets = [], []
        for step in range(1, order.steps_per_epoch + 1):
            ranks = [order.micro_batches(step, rank, world_size=2, micro_batch_size=1) for rank in range(2)]
            for turns in zip(*ranks, strict=True):
                together = [packs[turn.pack_ids[0]] for turn in turns]
                has_images.append({bool(pack.images) for pack in together})
                has_targets.append({bool(pack.record.is_target.any()) for pack in together})
        assert {True, False} in has_images  # one process has images while the other has none
        assert {True, False} in has_targets  # one process has targets while the other has none

    def test_the_number_of_processes_does_not_matter(self, alone: Path, together: Path) -> None:
        assert_same_run(together, alone)

    def test_replicas_do_not_matter(
        self, alone: Path, make_config: MakeConfig, two_processes: Processes, tmp_path: Path
    ) -> None:
        config = make_config(tmp_path / "run", num_replicas=2, micro_batch_size=2, recompute="full")
        assert two_processes.train(config) == [None, None]
        assert_same_run(tmp_path / "run", alone)

    def test_replicas_must_divide_the_processes(
        self, make_config: MakeConfig, two_processes: Processes, tmp_path: Path
    ) -> None:
        for error in two_processes.train(make_config(tmp_path / "run", num_replicas=3)):
            assert isinstance(error, ConfigError)
            assert error.message == "num_replicas=3 does not divide the 2 processes of this run"

    @pytest.mark.parametrize("batch_size", [1, 3])
    def test_a_process_without_a_pack_keeps_step(
        self, batch_size: int, make_config: MakeConfig, two_processes: Processes, tmp_path: Path
    ) -> None:
        changes = {"global_batch_size": batch_size, "max_steps": 5, "num_epochs": None}
        assert two_processes.train(make_config(tmp_path / "two", **changes)) == [None, None]
        train(make_config(tmp_path / "one", **changes))
        assert_same_run(tmp_path / "two", tmp_path / "one")

    def test_an_output_that_another_process_writes_is_refused_by_all(
        self, make_config: MakeConfig, two_processes: Processes, tmp_path: Path
    ) -> None:
        with claim(tmp_path, "a third party"):
            errors = two_processes.train(make_config(tmp_path))
        for error in errors:
            assert isinstance(error, ConfigError)
            assert f"{tmp_path} is being written by a third party: process {os.getpid()} on " in error.message

    def test_the_output_of_another_configuration_is_refused_by_all(
        self, alone: Path, make_config: MakeConfig, two_processes: Processes
    ) -> None:
        for error in two_processes.train(make_config(alone, learning_rate=2e-2)):
            assert isinstance(error, ConfigError)
            assert "learning_rate" in error.message

    def test_what_only_the_first_process_can_see_ends_all(
        self, make_config: MakeConfig, two_processes: Processes, tmp_path: Path
    ) -> None:
        config = make_config(tmp_path / "run")
        two_processes.train(config, sigterm=pack_of_step(2, rank=0))
        (config.output / "metrics.jsonl").unlink()
        for error in two_processes.train(config):
            assert isinstance(error, DataError)
            assert "has 0 rows for the first 2 steps" in error.message

    def test_a_model_that_cannot_be_written_ends_all(
        self, make_config: MakeConfig, two_processes: Processes, tmp_path: Path
    ) -> None:
        config = make_config(tmp_path / "run", trainee="tiny_trainee:UnsavableTrainee")
        for error in two_processes.train(config):
            assert isinstance(error, DataError)
            assert error.message == "no place for the model"

    def test_sigterm_to_one_stops_all_after_the_same_step_and_the_rerun_is_exact(
        self, together: Path, make_config: MakeConfig, two_processes: Processes, tmp_path: Path
    ) -> None:
        config = make_config(tmp_path / "run")
        errors = two_processes.train(config, sigterm=pack_of_step(3, rank=1))
        assert [type(error) for error in errors] == [TrainingInterruptedError] * 2
        assert "stopped by a signal to another process after step 3 of 6" in str(errors[0])
        assert "stopped by SIGTERM after step 3 of 6" in str(errors[1])
        assert two_processes.train(config) == [None, None]
        assert digests(tmp_path / "run") == digests(together)

    def test_two_then_one_then_two(
        self, together: Path, make_config: MakeConfig, two_processes: Processes, tmp_path: Path
    ) -> None:
        config = make_config(tmp_path / "run")
        two_processes.train(config, sigterm=pack_of_step(1, rank=0))
        with tiny_trainee.accidents(sigterm=pack_of_step(3, rank=0)), pytest.raises(TrainingInterruptedError):
            train(config)
        assert two_processes.train(config) == [None, None]
        assert_same_run(tmp_path / "run", together)

    def test_nan_on_one_process_stops_all_with_the_parameters_untouched(
        self, together: Path, make_config: MakeConfig, two_processes: Processes, tmp_path: Path
    ) -> None:
        config = make_config(tmp_path / "run", log_every=5, checkpoint_every=5)
        pack_id = pack_of_step(2, rank=1)
        for error in two_processes.train(config, nan=pack_id):
            assert isinstance(error, DataError)
            assert error.message.startswith("step 2: the loss is not finite; its packs: ")
            assert str(pack_id) in error.message
        # The failure of step 2 was noticed after step 5, but the state that was saved is the one after step 1.
        assert two_processes.train(config) == [None, None]
        assert digests(tmp_path / "run") == digests(together)

    @pytest.mark.parametrize("rank", [0, 1])
    def test_sigkill_of_one_process_costs_the_steps_since_the_checkpoint_and_nothing_else(
        self, rank: int, together: Path, make_config: MakeConfig, two_processes: Processes, tmp_path: Path
    ) -> None:
        config = make_config(tmp_path / "run")
        victims = Processes(2)
        victims.start(config, sigkill=pack_of_step(3, rank=rank))
        assert all(victims.close())
        assert two_processes.train(config) == [None, None]
        assert digests(tmp_path / "run") == digests(together)


@pytest.mark.gpu
class TestCuda:
    CUDA: ClassVar[dict[str, Any]] = {"device": "cuda", "deterministic": True}

    def test_it_computes_what_the_cpu_computes(self, alone: Path, make_config: MakeConfig, tmp_path: Path) -> None:
        train(make_config(tmp_path / "run", **self.CUDA))
        for row, wanted in zip(metrics(tmp_path / "run"), metrics(alone), strict=True):
            assert row.loss == pytest.approx(wanted.loss, abs=1e-4)
            assert row.num_targets == wanted.num_targets

    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_a_killed_run_resumes_to_the_bit(self, precision: str, make_config: MakeConfig, tmp_path: Path) -> None:
        changes = self.CUDA | {"precision": precision}
        train(make_config(tmp_path / "whole", **changes))
        with tiny_trainee.accidents(error=pack_of_step(3, 0)), pytest.raises(DataError, match="an accident"):
            train(make_config(tmp_path / "cut", **changes))
        train(make_config(tmp_path / "cut", **changes))
        assert digests(tmp_path / "cut") == digests(tmp_path / "whole")

    def test_a_step_that_is_not_finite_changes_nothing(self, make_config: MakeConfig, tmp_path: Path) -> None:
        config = make_config(tmp_path / "run", on_nonfinite="skip", **self.CUDA)
        with tiny_trainee.accidents(nan=pack_of_step(2, 0)):
            train(config)
        rows = metrics(tmp_path / "run")
        assert any(row.is_skipped for row in rows)
        assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run").values())
