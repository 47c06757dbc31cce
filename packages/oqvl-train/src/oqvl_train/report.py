"""The state of a run, read from its directory: what `train` returns and `oqvl-train show` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field

from oqvl_shards.config import Frozen
from oqvl_shards.dataset import MANIFEST_NAME, open_dataset
from oqvl_shards.manifest import Kind
from oqvl_train.metrics import Timing, read_metrics, read_timings
from oqvl_train.run_directory import RunDirectory


class TrainReport(Frozen):
    """The state of one training run."""

    output: str = Field(description="directory of the run")
    stage: str = Field(description="name of the stage")
    is_finished: bool = Field(description="whether the trained model and its manifest exist")
    step: int = Field(description="number of the last step in metrics.jsonl; 0: none yet")
    num_steps: int = Field(description="steps of the whole run")
    num_packs: int | None = Field(description="packs that it trains on; null: not recorded")
    global_batch_size: int | None = Field(description="packs per step; the last step of an epoch takes the rest")
    num_skipped_steps: int = Field(description="steps that updated nothing because the loss or gradient was not finite")
    checkpoints: tuple[int, ...] = Field(description="steps after which the complete checkpoints were saved")
    loss: float | None = Field(description="mean loss per target in the last step; null: no step yet, or not finite")
    num_tokens: int = Field(description="tokens seen, visual tokens included")
    num_targets: int = Field(description="tokens that carried loss")
    seconds: float = Field(description="wall-clock seconds of all steps and starts, checkpoints not counted")
    last_timing: Timing | None = Field(description="the latest speed")
    model: str | None = Field(description="directory of the trained model; null: not finished")
    digest: str | None = Field(description="digest of its manifest")

    @classmethod
    def read(cls, output: Path) -> Self:
        """Read the state of the run in `output`.

        Raises:
            ManifestError: If there is no run in it.
            DataError: If a file of the run is malformed.
        """
        directory = RunDirectory(output)
        run = directory.read_run_file()
        metrics = read_metrics(directory.metrics)
        timings = read_timings(directory.timings)
        is_finished = (directory.model / MANIFEST_NAME).exists()
        return cls(
            output=str(output),
            stage=run.stage,
            is_finished=is_finished,
            step=len(metrics),
            num_steps=run.num_steps,
            num_packs=run.num_packs,
            global_batch_size=run.lineage.config.get("global_batch_size"),
            num_skipped_steps=sum(row.is_skipped for row in metrics),
            checkpoints=tuple(directory.checkpoint_steps()),
            loss=metrics[-1].loss if metrics else None,
            num_tokens=sum(row.num_tokens for row in metrics),
            num_targets=sum(row.num_targets for row in metrics),
            seconds=sum(row.seconds for row in timings),
            last_timing=timings[-1] if timings else None,
            model=str(directory.model) if is_finished else None,
            digest=open_dataset(directory.model, Kind.CHECKPOINT).manifest.digest() if is_finished else None,
        )

    def table(self) -> str:
        """Return the report as text."""
        skipped = f", {self.num_skipped_steps:,} skipped" if self.num_skipped_steps else ""
        rows = [
            ("run", f"{self.output} ({self.stage})"),
            ("steps", f"{self.step:,} of {self.num_steps:,}{skipped}"),
            ("checkpoints", ", ".join(f"{step:,}" for step in self.checkpoints) or "none"),
            ("loss", "none" if self.loss is None else f"{self.loss:.4f}"),
            ("tokens", f"{self.num_tokens:,}, {self.num_targets:,} of them targets"),
            ("speed", "not measured" if self.last_timing is None else _describe_speed(self.last_timing)),
            ("time", f"{self.seconds / 3600:.2f} h"),
            ("model", self.model or "not finished: run the same command again to resume"),
        ]
        if self.num_packs and self.global_batch_size:
            rows.insert(2, ("epoch", _describe_epoch(self.num_packs, self.global_batch_size)))
        if self.digest:
            rows.append(("digest", self.digest))
        return "\n".join(f"{name:<12} {value}" for name, value in rows)


def _describe_epoch(num_packs: int, batch_size: int) -> str:
    if num_packs <= batch_size:
        return f"1 step, whose batch of up to {batch_size:,} packs holds all {num_packs:,}"
    num_left = num_packs % batch_size
    last = f", the last of the {num_left:,} left" if num_left else ""
    return f"{num_packs:,} packs in {-(-num_packs // batch_size):,} steps of {batch_size:,}{last}"


def _describe_speed(timing: Timing) -> str:
    return (
        f"{timing.tokens_per_second:,.0f} tokens/s on {timing.num_devices} x {timing.device}, "
        f"{timing.teraflops:.3g} TFLOP/s each, MFU {timing.mfu:.1%} of {timing.peak_teraflops:.3g} TFLOP/s"
    )
