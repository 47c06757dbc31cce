"""Configuration of a training stage: data, model, optimization, and use of the machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from oqvl_shards.config import StageConfig

_NO_LINEAGE: dict[str, Any] = {"lineage": False}


class Precision(StrEnum):
    """Number format of the forward and backward pass. Master weights, reductions and optimizer state are fp32."""

    FP32 = "fp32"
    BF16 = "bf16"


class Recompute(StrEnum):
    """The activations of a decoder layer that the backward pass recomputes instead of keeping."""

    NONE = "none"
    SELECTIVE = "selective"
    FULL = "full"


class NonfinitePolicy(StrEnum):
    """The reaction to a step whose loss or gradient is not finite."""

    STOP = "stop"
    SKIP = "skip"


class TrainConfig(StageConfig):
    """The configuration of one training stage.

    The fields outside the lineage say how the same sums are computed: how many packs at a time, on which device, and
    with which recomputation. Like the number of processes, they only change rounding, so a run may be resumed with
    other values. `on_nonfinite` is one of them, because it only decides whether a failing run continues.
    """

    checkpoint: Path = Field(
        description="model directory to start from (kind checkpoint)", json_schema_extra=_NO_LINEAGE
    )
    packed: Path = Field(description="dataset to train on (kind packed)", json_schema_extra=_NO_LINEAGE)
    output: Path = Field(
        description="directory of the run; the trained model is written to its model/", json_schema_extra=_NO_LINEAGE
    )
    trainee: str = Field(
        description="factory of the model to train, as package.module:Name",
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
    )
    trainee_options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the factory")
    visual_tokens_per_image: int | None = Field(
        default=None, gt=0, description="visual tokens per image that the packs must have; unset: any number"
    )
    stage: str = Field(default="pretrain", min_length=1, description="name of the stage, e.g. pretrain or sft")
    seed: int = Field(default=7, ge=0, description="seed of the data order and of the model's random numbers")

    num_epochs: int | None = Field(
        default=None, gt=0, description="passes over the packs; unset: 1, or as many as max_steps needs"
    )
    max_steps: int | None = Field(default=None, gt=0, description="optimizer steps, over as many epochs as needed")
    global_batch_size: int = Field(default=256, gt=0, description="packs per optimizer step, over all processes")
    micro_batch_size: int = Field(
        default=1, gt=0, description="packs per forward pass on one device", json_schema_extra=_NO_LINEAGE
    )

    learning_rate: float = Field(default=5e-5, gt=0, allow_inf_nan=False, description="peak learning rate")
    min_learning_rate_ratio: float = Field(default=0.0, ge=0, le=1, description="final learning rate / peak")
    warmup_fraction: float = Field(
        default=0.03, ge=0, lt=1, description="share of the steps during which the learning rate rises"
    )
    weight_decay: float = Field(
        default=0.01, ge=0, allow_inf_nan=False, description="decoupled weight decay of matrices; vectors get none"
    )
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="decay rates of AdamW's two moments")
    eps: float = Field(default=1e-8, gt=0, allow_inf_nan=False, description="AdamW's epsilon")
    clip_norm: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="largest norm of the gradient; 0: no clipping"
    )
    on_nonfinite: NonfinitePolicy = Field(
        default=NonfinitePolicy.STOP,
        description="if a loss or gradient is not finite: stop the run, or skip the step",
        json_schema_extra=_NO_LINEAGE,
    )
    precision: Precision = Field(default=Precision.BF16, description="fp32, or bf16 with fp32 masters and reductions")

    checkpoint_every: int = Field(
        default=500, gt=0, description="steps between checkpoints", json_schema_extra=_NO_LINEAGE
    )
    keep_checkpoints: int = Field(
        default=2, gt=0, description="newest checkpoints to keep", json_schema_extra=_NO_LINEAGE
    )
    log_every: int = Field(
        default=10,
        gt=0,
        description="steps between fetches of results from the device (every step is logged)",
        json_schema_extra=_NO_LINEAGE,
    )
    num_loader_workers: int = Field(
        default=4, gt=0, description="threads that read and collate packs in advance", json_schema_extra=_NO_LINEAGE
    )
    device: str = Field(
        default="auto",
        pattern="^(auto|cpu|cuda)$",
        description="cpu, cuda, or auto for cuda if it is available",
        json_schema_extra=_NO_LINEAGE,
    )
    num_replicas: int = Field(
        default=1,
        gt=0,
        description="copies of the sharded model (HSDP), each sharded over number of processes / num_replicas",
        json_schema_extra=_NO_LINEAGE,
    )
    reshard_after_forward: bool = Field(
        default=True,
        description="free gathered parameters after the forward pass",
        json_schema_extra=_NO_LINEAGE,
    )
    recompute: Recompute = Field(
        default=Recompute.NONE,
        description="activation checkpointing per decoder layer: none, selective (keep matrix products), full",
        json_schema_extra=_NO_LINEAGE,
    )
    compile: bool = Field(default=False, description="compile each decoder layer", json_schema_extra=_NO_LINEAGE)
    deterministic: bool = Field(
        default=False,
        description="use only deterministic kernels; then a resumed run is bit-identical on a GPU too",
        json_schema_extra=_NO_LINEAGE,
    )
    peak_flops: float | None = Field(
        default=None,
        gt=0,
        description="peak FLOP/s of one device at this precision, for MFU; unset: from a table, or measured",
        json_schema_extra=_NO_LINEAGE,
    )

    @model_validator(mode="after")
    def _length_is_stated_once(self) -> Self:
        if self.num_epochs is not None and self.max_steps is not None:
            raise ValueError(f"set num_epochs ({self.num_epochs}) or max_steps ({self.max_steps}), not both")
        return self

    @model_validator(mode="after")
    def _betas_are_decay_rates(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be in [0, 1), found {self.betas}")
        return self
