"""One training stage, from a start checkpoint and packed shards to a trained checkpoint.

1. open        the start checkpoint and the packs
2. claim       the output: rank 0 claims it for all processes, and tells them the outcome
3. build       the model from its dotted path, sharded over the processes, and its optimizer
4. resume      from the latest complete checkpoint, if there is one
5. train       step by step, with metrics, checkpoints and graceful stops; steps are numbered from 1
6. export      the trained model with its manifest

Steps 3 to 6 are skipped if the output is finished.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from oqvl_shards.binding import bind
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.manifest import CheckpointDetails, Kind, PackedDetails
from oqvl_shards.packed import PackedReader
from oqvl_shards.stage_output import StageOutput, stage_output
from oqvl_train.checkpoint import load_latest_checkpoint, save_checkpoint
from oqvl_train.config import TrainConfig
from oqvl_train.data_order import DataOrder
from oqvl_train.errors import TrainingInterruptedError
from oqvl_train.export import export_model
from oqvl_train.loader import Loader
from oqvl_train.metrics import StepMetrics, truncate_metrics
from oqvl_train.monitor import Monitor
from oqvl_train.optimizer import Optimizer
from oqvl_train.parallel import World, open_world, shard_model
from oqvl_train.report import TrainReport
from oqvl_train.run_directory import RunDirectory, RunFile
from oqvl_train.schedule import Schedule
from oqvl_train.stop_request import StopRequest
from oqvl_train.trainee import Trainee
from oqvl_train.training_step import training_step

_NUM_PACKS_NAMED = 16
"""Maximum number of packs that a message names."""

_log = logging.getLogger(__name__)


def train(config: TrainConfig) -> TrainReport:
    """Train or resume. If the output is finished, return the report immediately.

    Every process of the run calls this: a single process, or those that torchrun starts. They read their ranks from the
    environment of `torch.distributed`.

    Raises:
        ConfigError: If the configuration does not fit the model or the data, another run is writing the output, or the
            output belongs to another run. If rank 0 cannot claim the output, every process raises its error.
        DataError: If data or a checkpoint is damaged, or a loss or gradient is not finite.
        TrainingInterruptedError: After SIGTERM or SIGINT; a checkpoint is saved, and calling this again resumes.
    """
    plan = _plan(config)
    with _determinism(config), open_world(config) as world, _claimed_output(config, plan, world) as output:
        is_finished = world.from_first(output is not None and output.dataset is not None)
        if not is_finished:
            _train(config, plan, world, output)
    return TrainReport.read(config.output)


@dataclass(frozen=True)
class _Plan:
    """The inputs and the length of the run, known before the processes join.

    Args:
        checkpoint: The model to start from.
        packs: The dataset to train on.
        order: Which packs each step takes.
        directory: Where the run writes.
        num_steps: Steps of the whole run.
    """

    checkpoint: Dataset
    packs: PackedReader
    order: DataOrder
    directory: RunDirectory
    num_steps: int


def _plan(config: TrainConfig) -> _Plan:
    """Open the inputs and count the steps.

    Raises:
        ConfigError: If the dataset has no packs, or the packs were made for another number of visual tokens.
    """
    checkpoint = open_dataset(config.checkpoint, Kind.CHECKPOINT)
    packs = PackedReader(open_dataset(config.packed, Kind.PACKED))
    _check_visual_tokens(config, packs.details)
    if not len(packs):
        raise ConfigError(f"{config.packed} holds no packs", hint="name a packed dataset with at least one pack")
    order = DataOrder(len(packs), config.global_batch_size, config.seed)
    num_steps = config.max_steps or (config.num_epochs or 1) * order.steps_per_epoch
    return _Plan(checkpoint, packs, order, RunDirectory(config.output), num_steps)


def _check_visual_tokens(config: TrainConfig, packed: PackedDetails) -> None:
    expected, found = config.visual_tokens_per_image, packed.visual_tokens_per_image
    if expected not in (None, found):
        raise ConfigError(
            f"visual_tokens_per_image: {config.packed} was packed for {found}, but the configuration says {expected}",
            hint=f"pack again with {expected} visual tokens per image; this is cheap, and fetches no image again",
        )


@contextmanager
def _claimed_output(config: TrainConfig, plan: _Plan, world: World) -> Iterator[StageOutput | None]:
    """Claim the output on rank 0, for all processes, while the block runs. The other processes get None.

    Raises:
        ConfigError: In every process, if rank 0 is refused; see `stage_output`.
    """
    output = None
    with ExitStack() as claimed:
        with world.first_alone() as is_first:
            if is_first:
                parents = [plan.checkpoint.manifest, plan.packs.dataset.manifest]
                output = claimed.enter_context(
                    stage_output("oqvl-train run", config.output, config, parents=parents, dataset="model")
                )
        yield output


def _train(config: TrainConfig, plan: _Plan, world: World, output: StageOutput | None) -> None:
    """Run the remaining steps, and export the model.

    Args:
        config: The configuration.
        plan: The plan that `_plan` made of it.
        world: The processes.
        output: The claimed output on rank 0, None on the others.
    """
    trainee = bind(
        config.trainee, Trainee, config.checkpoint, plan.packs.details, key="trainee", options=config.trainee_options
    )
    model = shard_model(trainee, config, world)
    optimizer = Optimizer(model, config)
    num_done = load_latest_checkpoint(plan.directory, model, optimizer)
    with world.first_alone():
        if output is not None:
            _begin(config, plan, output, num_done)
    _train_steps(config, plan, world, trainee, optimizer, num_done)
    export_model(plan.directory, trainee, _checkpoint_details(plan, config.stage), output, world)


def _begin(config: TrainConfig, plan: _Plan, output: StageOutput, num_done: int) -> None:
    """Write `run.json`, and cut `metrics.jsonl` back to the checkpoint that the run resumes from."""
    if plan.order.steps_per_epoch == 1:
        _log.warning(
            "an epoch is a single step: the batch (global_batch_size=%d) holds all %d packs; "
            "a smaller global_batch_size makes more steps",
            plan.order.global_batch_size,
            plan.order.num_packs,
        )
    run = RunFile(stage=config.stage, num_steps=plan.num_steps, num_packs=len(plan.packs), lineage=output.lineage)
    plan.directory.begin(run)
    truncate_metrics(plan.directory.metrics, num_done)


def _train_steps(
    config: TrainConfig, plan: _Plan, world: World, trainee: Trainee, optimizer: Optimizer, num_done: int
) -> None:
    """Run the steps num_done + 1 .. num_steps. Log each step, and save checkpoints.

    Raises:
        DataError: If a step is not finite, under `NonfinitePolicy.STOP`; the state before it is saved.
        TrainingInterruptedError: If a process was asked to stop; the state after the current step is saved.
    """
    num_steps = plan.num_steps
    schedule = Schedule(config.learning_rate, num_steps, config.warmup_fraction, config.min_learning_rate_ratio)
    loader = Loader(
        plan.packs,
        trainee,
        plan.order,
        rank=world.rank,
        world_size=world.size,
        micro_batch_size=config.micro_batch_size,
        num_workers=config.num_loader_workers,
        pin_memory=world.device.type == "cuda",
    )

    def save(step: int) -> None:
        save_checkpoint(plan.directory, step, trainee.model, optimizer, world, config.keep_checkpoints)

    with (
        torch.random.fork_rng([world.device] if world.device.type == "cuda" else []),
        StopRequest().listen() as stop_request,
        Monitor(config, plan.directory, world, num_done, num_steps) as monitor,
    ):
        for step, micro_batches in loader.steps(num_done + 1, num_steps):
            result = training_step(
                trainee,
                optimizer,
                micro_batches,
                world,
                step=step,
                learning_rate=schedule.learning_rate(step),
                seed=config.seed,
            )
            is_stopping = world.any(bool(stop_request.reason)) and step < num_steps
            is_saving = is_stopping or step == num_steps or step % config.checkpoint_every == 0
            monitor.add(result, must_fetch=is_saving)
            if monitor.failed is not None:
                last_good_step = monitor.failed.step - 1  # the optimizer has kept the state of this step since
                save(last_good_step)
                raise _not_finite_error(monitor.failed, plan, plan.directory.checkpoint(last_good_step))
            if is_saving:
                save(step)
                monitor.restart_clock()
            if is_stopping:
                raise TrainingInterruptedError(
                    f"stopped by {stop_request.reason or 'a signal to another process'} after step {step} of "
                    f"{num_steps}; checkpoint {plan.directory.checkpoint(step)}",
                    hint="run the same command again to resume",
                )


def _not_finite_error(failed: StepMetrics, plan: _Plan, saved: Path) -> DataError:
    """Return the error for a step that is not finite, with its packs and the checkpoint of the state before it."""
    pack_ids = plan.order.batch(failed.step).tolist()
    named = ", ".join(str(pack_id) for pack_id in pack_ids[:_NUM_PACKS_NAMED])
    more = f" and {len(pack_ids) - _NUM_PACKS_NAMED} more" if len(pack_ids) > _NUM_PACKS_NAMED else ""
    what = "loss" if failed.loss is None else "gradient"
    return DataError(
        f"step {failed.step}: the {what} is not finite; its packs: {named}{more} of {plan.packs.dataset.path}",
        hint=f"nothing was updated, and {saved} holds the state before it: inspect the packs, or run again with "
        "on_nonfinite=skip to skip such steps",
    )


def _checkpoint_details(plan: _Plan, stage: str) -> CheckpointDetails:
    start = plan.checkpoint.manifest.details
    assert isinstance(start, CheckpointDetails)
    return CheckpointDetails(
        architecture=start.architecture,
        stage=stage,
        step=plan.num_steps,
        visual_tokens_per_image=plan.packs.details.visual_tokens_per_image,
    )


@contextmanager
def _determinism(config: TrainConfig) -> Iterator[None]:
    """Use only deterministic kernels while the block runs, if the configuration asks for it."""
    before = torch.are_deterministic_algorithms_enabled()
    if config.deterministic:
        # cuBLAS reads this when it starts. Without it, cuBLAS refuses deterministic work.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(before or config.deterministic)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
