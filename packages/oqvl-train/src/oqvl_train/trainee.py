"""The protocol that a model must implement to be trained. A recipe names its factory by a dotted path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from torch import Tensor, nn

from oqvl_shards.packed import Pack


class Batch(Protocol):
    """The tensors of one forward pass. The trainer only moves them."""

    def pin_memory(self) -> Self:
        """Return the batch in page-locked memory. Called if the batch goes to a CUDA device."""
        ...

    def to(self, device: Any) -> Self:
        """Return the batch with its tensors on `device`. It does not have to wait for the copy."""
        ...


@runtime_checkable
class Trainee(Protocol):
    """A model, and what the trainer must know about it.

    It is made by `factory(checkpoint: Path, packed: PackedDetails, **options)`, where `checkpoint` is a model directory
    and `packed` describes the packs. Trainable parameters have `requires_grad` set and are fp32. With
    `precision = "bf16"` the forward pass sees them as bf16; the trainer casts nothing else.
    """

    @property
    def model(self) -> nn.Module:
        """The model; the trainer shards it in place."""
        ...

    def collate(self, packs: Sequence[Pack]) -> Batch:
        """Make the batch of one forward pass from at least one pack, on the CPU.

        Called from several threads, like `num_flops`. It must not use torch's random number generator, which belongs
        to the training loop.
        """
        ...

    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """Run `model`, as the trainer has wrapped it, on `batch`.

        Returns:
            The sum of the losses over all targets (fp32 scalar) and the number of targets (int64 scalar, may be 0).
        """
        ...

    def shard_units(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the modules that are sharded, recomputed and compiled one by one: the decoder layers.

        A unit must run in every forward pass, no matter what the batch holds. A parameter that some batches do not use
        (a projector, in a batch without images) must be outside all units.
        """
        ...

    def replicated_modules(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the frozen modules that every process holds whole, in their own dtype: the vision tower."""
        ...

    def num_flops(self, batch: Any) -> float:
        """Return the model FLOPs of one forward and backward pass over `batch`, without recomputation."""
        ...

    def save(self, directory: Path, state_dict: Mapping[str, Tensor]) -> None:
        """Write a model directory that `from_pretrained` can read.

        Args:
            directory: An existing empty directory.
            state_dict: All parameters and persistent buffers by their names in `model`, unsharded, on the CPU.
        """
        ...
