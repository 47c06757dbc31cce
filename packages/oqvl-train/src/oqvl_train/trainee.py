"""What the trainer asks of a model; a recipe names its factory by a dotted path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from torch import Tensor, nn

from oqvl_shards.packed import Pack


class Batch(Protocol):
    """The tensors of one forward pass; opaque to the trainer, which only moves them."""

    def pin_memory(self) -> Self:
        """Return the batch in page-locked memory; called when it is bound for a CUDA device."""
        ...

    def to(self, device: Any) -> Self:
        """Return the batch with its tensors on `device`; need not wait for the copy."""
        ...


@runtime_checkable
class Trainee(Protocol):
    """A model with what the trainer must know about it.

    Made by `factory(checkpoint: Path, packed: PackedDetails, **options)`, where `checkpoint` is a model directory and
    `packed` describes the packs. Parameters that are to be trained have `requires_grad` set and are fp32; with
    `precision = "bf16"` the forward pass sees them as bf16, and nothing else is cast for the model.
    """

    @property
    def model(self) -> nn.Module:
        """The model; the trainer shards it in place."""
        ...

    def collate(self, packs: Sequence[Pack]) -> Batch:
        """Make the batch of one forward pass from at least one pack, on the CPU.

        Called from several threads, as is `num_flops`; so it may not draw from torch's generator, which belongs to the
        training loop.
        """
        ...

    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """Run `model` (as the trainer wrapped it) on `batch`.

        Returns:
            The sum of the losses at all targets (fp32 scalar) and the number of targets (int64 scalar, may be 0).
        """
        ...

    def shard_units(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the modules that are sharded, recomputed and compiled one by one: the decoder layers.

        A unit must run in every forward pass, whatever the batch holds: a parameter that some batches do not use (a
        projector, in a batch without images) belongs outside all units.
        """
        ...

    def replicated_modules(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return frozen modules that every process holds whole, in their own number format: the vision tower."""
        ...

    def num_flops(self, batch: Any) -> float:
        """Return the model FLOPs of one forward and backward pass over `batch`, recomputation not counted."""
        ...

    def save(self, directory: Path, state_dict: Mapping[str, Tensor]) -> None:
        """Write a model directory that `from_pretrained` reads.

        Args:
            directory: An existing empty directory.
            state_dict: All parameters and persistent buffers by their names in `model`, whole, on the CPU.
        """
        ...
