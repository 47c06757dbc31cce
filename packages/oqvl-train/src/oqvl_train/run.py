"""One training stage, from a start checkpoint and packed shards to a trained checkpoint.

1. open        start checkpoint and packs
2. claim       the output, by the first process for all: is it finished, or is another run writing it?
3. build       the model from its dotted path, laid out over the processes; its optimizer
4. resume      from the latest complete checkpoint, if there is one
5. train       step by step; metrics, checkpoints, a polite stop
6. export      the trained model with its manifest
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch

from oqvl_shards.binding import bind
from oqvl_shards.dataset import Dataset, open_dataset
from oqvl_shards.errors import ConfigError, DataError, OqvlError
from oqvl_shards.manifest import CheckpointDetails, Kind, PackedDetails
from oqvl_shards.packed import PackedReader
from oqvl_shards.stage_output import StageOutput, stage_output
from oqvl_train.checkpoint import load_latest_checkpoint, save_checkpoint
from oqvl_train.config import TrainConfig
from oqvl_train.data_order import DataOrder
from oqvl_train.errors import TrainingInterruptedError
from oqvl_train.export import export_model
from oqvl_train.loader import Loader
from oqvl_train.metrics import StepMetrics, read_metrics, truncate_metrics
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

_log = logging.getLogger(__name__)


def train(config: TrainConfig) -> TrainReport:
    """Train, or resume, or return at once when the output is finished.

    Called by every process of the run: alone, or under torchrun. Reading `torch.distributed`'s environment is all that
    tells the two apart.

    Raises:
        ConfigError: When the parts do not fit together, or the output belongs to another run.
        DataError: When data or a checkpoint is damaged, or a loss or gradient is not finite.
        TrainingInterruptedError: When SIGTERM or SIGINT came; a checkpoint is saved, and calling again resumes.
    """
    plan = _plan(config)
    with _determinism(config), open_world(config) as world, _claimed_output(config, plan, world) as output:
        if not world.from_first(output is not None and output.dataset is not None):
            _train(config, plan, world, output)
    return TrainReport.read(config.output)


@contextmanager
def _claimed_output(config: TrainConfig, plan: _Plan, world: World) -> Iterator[StageOutput | None]:
    """Open the output in the first process, for all; the others get None.

    Raises:
        ConfigError: In every process, if the first one is refused.
    """
    with ExitStack() as stack:
        output, refusal = None, None
        if world.is_first:
            parents = [plan.checkpoint.manifest, plan.packs.dataset.manifest]
            try:
                output = stack.enter_context(
                    stage_output("oqvl-train run", config.output, config, parents=parents, dataset="model")
                )
            except OqvlError as error:
                refusal = error
        refusal = world.from_first(refusal)
        if refusal is not None:
            raise refusal
        yield output


@dataclass(frozen=True)
class _Plan:
    """What is known before torch does anything."""

    checkpoint: Dataset
    packs: PackedReader
    order: DataOrder
    directory: RunDirectory
    num_steps: int


def _plan(config: TrainConfig) -> _Plan:
    checkpoint = open_dataset(config.checkpoint, Kind.CHECKPOINT)
    packs = PackedReader(open_dataset(config.packed, Kind.PACKED))
    _check_visual_tokens(config, packs.details)
    if not len(packs):
        raise ConfigError(f"{config.packed} holds no packs")
    order = DataOrder(len(packs), config.global_batch_size, config.seed)
    num_steps = config.max_steps or (config.num_epochs or 1) * order.steps_per_epoch
    return _Plan(checkpoint, packs, order, RunDirectory(config.output), num_steps)


def _check_visual_tokens(config: TrainConfig, packed: PackedDetails) -> None:
    expected, found = config.visual_tokens_per_image, packed.visual_tokens_per_image
    if expected not in (None, found):
        raise ConfigError(
            f"visual_tokens_per_image: {config.packed} was packed for {found}, the configuration says {expected}",
            hint=f"pack again with {expected} visual tokens an image; it is cheap, no image is fetched again",
        )


def _train(config: TrainConfig, plan: _Plan, world: World, output: StageOutput | None) -> None:
    trainee = bind(
        config.trainee, Trainee, config.checkpoint, plan.packs.details, key="trainee", options=config.trainee_options
    )
    model = shard_model(trainee, config, world)
    optimizer = Optimizer(model, config)
    first_step = load_latest_checkpoint(plan.directory, model, optimizer)
    world.barrier()
    if output is not None:
        _warn_of_one_step_epochs(plan.order)
        plan.directory.begin(
            RunFile(stage=config.stage, num_steps=plan.num_steps, num_packs=len(plan.packs), lineage=output.lineage)
        )
        truncate_metrics(plan.directory.metrics, first_step)
    _train_steps(config, plan, world, trainee, optimizer, first_step)
    export_model(
        plan.directory,
        trainee,
        _checkpoint_details(plan, config.stage),
        read_metrics(plan.directory.metrics) if world.is_first else [],
        output,
        world,
    )


def _warn_of_one_step_epochs(order: DataOrder) -> None:
    if order.steps_per_epoch == 1:
        _log.warning(
            "an epoch is a single step: the batch (global_batch_size=%d) holds all %d packs; "
            "a smaller global_batch_size makes more steps",
            order.global_batch_size,
            order.num_packs,
        )


def _train_steps(
    config: TrainConfig, plan: _Plan, world: World, trainee: Trainee, optimizer: Optimizer, first_step: int
) -> None:
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
        Monitor(config, plan.directory, world, first_step, num_steps) as monitor,
    ):
        for step, micro_batches in loader.steps(first_step, num_steps):
            result = training_step(
                trainee,
                optimizer,
                micro_batches,
                world,
                step=step,
                learning_rate=schedule.learning_rate(step),
                seed=config.seed,
            )
            num_done = step + 1
            is_stopping = world.any(bool(stop_request.reason)) and num_done < num_steps
            is_saving = is_stopping or num_done == num_steps or num_done % config.checkpoint_every == 0
            monitor.add(result, must_look=is_saving)
            if monitor.failed is not None:
                save(monitor.failed.step - 1)
                raise _not_finite(monitor.failed, plan)
            if is_saving:
                save(num_done)
                monitor.restart_clock()
            if is_stopping:
                raise TrainingInterruptedError(
                    f"stopped by {stop_request.reason or 'a signal to another process'} after step {num_done} of "
                    f"{num_steps}; checkpoint {plan.directory.checkpoint(num_done)}",
                    hint="run the same command again to resume",
                )


def _not_finite(row: StepMetrics, plan: _Plan) -> DataError:
    pack_ids = plan.order.batch(row.step - 1).tolist()
    some = ", ".join(str(pack_id) for pack_id in pack_ids[:_NUM_PACKS_NAMED])
    more = f" and {len(pack_ids) - _NUM_PACKS_NAMED} more" if len(pack_ids) > _NUM_PACKS_NAMED else ""
    what = "loss" if row.loss is None else "gradient"
    return DataError(
        f"step {row.step}: the {what} is not finite; its packs: {some}{more} of {plan.packs.dataset.path}",
        hint=f"nothing was updated, and {plan.directory.checkpoint(row.step - 1)} holds the state before: look at the "
        "packs, or run again with on_nonfinite=skip to leave such steps out",
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
    before = torch.are_deterministic_algorithms_enabled()
    if config.deterministic:
        # cuBLAS reads this when it starts and refuses deterministic work without it.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(before or config.deterministic)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
