"""A decoder that is small enough for tests, as a `Trainee`, with its packs and its start checkpoint.

Shape suffixes: T tokens of all packs of a batch, I images, E width.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from oqvl_shards.config import StageConfig
from oqvl_shards.dataset import describe_file, write_manifest
from oqvl_shards.errors import DataError
from oqvl_shards.manifest import Account, CheckpointDetails, Lineage, Manifest, PackedDetails
from oqvl_shards.packed import (
    IGNORE_INDEX,
    Pack,
    PackRecord,
    TrainingSequence,
    shard_name,
    write_packed_shard,
)

WIDTH = 16
VOCAB_SIZE = 50
IMAGE_TOKEN_ID = 49
VISUAL_TOKENS = 3
BIN_CAPACITY = 40


class Layer(nn.Module):
    """Mixes each token with the mean of the tokens before it in its document, then an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, 2 * WIDTH)
        self.down = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x_TE: Tensor, mean_TT: Tensor) -> Tensor:
        x_TE = x_TE + self.mix(mean_TT.to(x_TE.dtype) @ self.norm(x_TE))
        return x_TE + self.down(torch.nn.functional.gelu(self.up(x_TE)))


class TinyModel(nn.Module):
    """Token embedding, a frozen "tower" on image bytes, a projector, two layers, a head."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB_SIZE, WIDTH)
        self.tower = nn.Linear(8, 8).requires_grad_(False)
        self.projector = nn.Linear(8, WIDTH)
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(WIDTH, VOCAB_SIZE, bias=False)

    def forward(self, batch: TinyBatch) -> Tensor:
        x_TE = self.embed(batch.input_ids)
        if len(batch.images):
            visual_IE = self.projector(self.tower(batch.images).to(x_TE.dtype))
            is_image_T = batch.input_ids == IMAGE_TOKEN_ID
            x_TE = x_TE.masked_scatter(is_image_T[:, None], visual_IE.repeat_interleave(VISUAL_TOKENS, dim=0))
        x_TE = self.dropout(x_TE)
        for layer in self.layers:
            x_TE = layer(x_TE, batch.mean)
        return self.head(x_TE).float()


@dataclass(frozen=True)
class TinyBatch:
    input_ids: Tensor
    labels: Tensor
    mean: Tensor
    images: Tensor
    pack_ids: tuple[int, ...]

    def pin_memory(self) -> TinyBatch:
        return self

    def to(self, device: torch.device) -> TinyBatch:
        return TinyBatch(
            self.input_ids.to(device),
            self.labels.to(device),
            self.mean.to(device),
            self.images.to(device),
            self.pack_ids,
        )


class TinyTrainee:
    """The model under test; see `accidents`."""

    def __init__(
        self, checkpoint: Path, packed: PackedDetails, *, dropout: float = 0.0, frozen: Sequence[str] = ()
    ) -> None:
        assert packed.bin_capacity == BIN_CAPACITY
        self.model = TinyModel(dropout)
        self.model.load_state_dict(load_file(checkpoint / "model.safetensors"))
        for name in frozen:
            self.model.get_submodule(name).requires_grad_(False)
        self.seen: list[tuple[int, ...]] = []

    def collate(self, packs: Sequence[Pack]) -> TinyBatch:
        sequence = TrainingSequence.concatenate([pack.record.expand() for pack in packs])
        bytes_I = [np.frombuffer(image[:8], dtype=np.uint8) for pack in packs for image in pack.images]
        images = torch.from_numpy(np.array(bytes_I, dtype=np.float32).reshape(-1, 8)) / 255
        return TinyBatch(
            torch.from_numpy(sequence.input_ids),
            torch.from_numpy(sequence.labels),
            _causal_mean(sequence.cu_seqlens),
            images,
            tuple(pack.pack_id for pack in packs),
        )

    def loss(self, model: nn.Module, batch: TinyBatch) -> tuple[Tensor, Tensor]:
        self.seen.append(batch.pack_ids)
        _have_accidents(batch.pack_ids)
        logits_TV = model(batch)[:-1]
        labels_T = batch.labels[1:]
        loss = torch.nn.functional.cross_entropy(logits_TV, labels_T, ignore_index=IGNORE_INDEX, reduction="sum")
        if _happens("nan", batch.pack_ids):
            loss = loss * torch.nan
        return loss, (labels_T != IGNORE_INDEX).sum()

    def shard_units(self, model: nn.Module) -> list[nn.Module]:
        return list(model.get_submodule("layers").children())

    def replicated_modules(self, model: nn.Module) -> list[nn.Module]:
        return [model.get_submodule("tower")]

    def num_flops(self, batch: TinyBatch) -> float:
        return 6.0 * sum(parameter.numel() for parameter in self.model.parameters()) * len(batch.input_ids)

    def save(self, directory: Path, state_dict: Mapping[str, Tensor]) -> None:
        save_file(dict(state_dict), directory / "model.safetensors")
        (directory / "config.json").write_text(json.dumps({"architectures": ["TinyModel"]}))


class UnsavableTrainee(TinyTrainee):
    """Fails to save, which only the first process does."""

    def save(self, directory: Path, state_dict: Mapping[str, Tensor]) -> None:
        raise DataError("no place for the model")


class Gate:
    """Holds one process up until another one opens the gate; made of files.

    Args:
        directory: Where the files are; made if it does not exist.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._is_open = directory / "open"
        directory.mkdir(exist_ok=True)

    def pass_through(self) -> None:
        """Wait until the gate is open.

        Raises:
            DataError: If a second process arrives.
        """
        (self.directory / f"arrived-{os.getpid()}").touch()
        if len(self._arrivals()) > 1:
            raise DataError("two processes train at once")
        while not self._is_open.exists():
            time.sleep(0.005)

    def wait_for_arrival(self) -> None:
        """Wait until a process is at the gate."""
        while not self._arrivals():
            time.sleep(0.005)

    def open(self) -> None:
        """Let the process through."""
        self._is_open.touch()

    def _arrivals(self) -> list[Path]:
        return list(self.directory.glob("arrived-*"))


class GatedTrainee(TinyTrainee):
    """Waits at a gate before it computes anything."""

    def __init__(self, checkpoint: Path, packed: PackedDetails, *, gate: str) -> None:
        super().__init__(checkpoint, packed)
        self.gate = Gate(Path(gate))

    def loss(self, model: nn.Module, batch: TinyBatch) -> tuple[Tensor, Tensor]:
        self.gate.pass_through()
        return super().loss(model, batch)


_accidents: dict[str, int] = {}


@contextmanager
def accidents(**at_pack: int) -> Iterator[None]:
    """Cause accidents in this process when it trains on a pack: `nan`, `sigterm`, `sigkill` or `error` = pack id.

    They are not part of the configuration, so a run with an accident and its rerun without one are the same run.
    """
    _accidents.update(at_pack)
    try:
        yield
    finally:
        _accidents.clear()


def _happens(accident: str, pack_ids: Sequence[int]) -> bool:
    return _accidents.get(accident) in pack_ids


def _have_accidents(pack_ids: Sequence[int]) -> None:
    if _happens("sigkill", pack_ids):
        os.kill(os.getpid(), signal.SIGKILL)
    if _happens("sigterm", pack_ids):
        os.kill(os.getpid(), signal.SIGTERM)
    if _happens("error", pack_ids):
        raise DataError("an accident")


def _causal_mean(cu_seqlens: np.ndarray) -> Tensor:
    document_T = np.repeat(np.arange(len(cu_seqlens) - 1), np.diff(cu_seqlens))
    is_before_TT = np.tril(document_T[:, None] == document_T[None, :])
    return torch.from_numpy((is_before_TT / is_before_TT.sum(axis=1, keepdims=True)).astype(np.float32))


class _NoConfig(StageConfig):
    pass


def write_checkpoint(directory: Path, seed: int = 0) -> Path:
    """Write a start checkpoint: random weights from `seed`, and a manifest."""
    directory.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_file(TinyModel().state_dict(), directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps({"architectures": ["TinyModel"]}))
    shards = tuple(describe_file(path, directory, 1) for path in sorted(directory.iterdir()))
    manifest = Manifest(
        name="tiny",
        details=CheckpointDetails(architecture="TinyModel", stage="init", visual_tokens_per_image=VISUAL_TOKENS),
        shards=shards,
        account=Account(num_in=len(shards), num_kept=len(shards)),
        lineage=Lineage.derive("tiny init", "1", _NoConfig()),
    )
    write_manifest(directory, manifest)
    return directory


def write_packs(directory: Path, num_packs: int, seed: int = 0) -> Path:
    """Write a packed dataset.

    It is unbalanced on purpose: pack 0 has no target, pack 1 has few, packs 1 and 4 have no image.
    """
    rng = np.random.default_rng(seed)
    records = [_record(rng, pack_id) for pack_id in range(num_packs)]
    packs = [(record, [rng.bytes(64) for _ in record.image_types]) for record in records]
    directory.mkdir(parents=True)
    shard = write_packed_shard(directory / shard_name(0), packs, first_pack_id=0, relative_to=directory)
    num_tokens = sum(record.num_tokens for record in records)
    details = PackedDetails(
        bin_capacity=BIN_CAPACITY,
        visual_tokens_per_image=VISUAL_TOKENS,
        image_token_id=IMAGE_TOKEN_ID,
        pad_token_id=0,
        vocab_size=VOCAB_SIZE,
        tokenizer_sha256="0" * 64,
        num_documents=sum(len(record.document_lengths) for record in records),
        num_images=sum(len(record.image_types) for record in records),
        num_tokens=num_tokens,
        num_target_tokens=sum(int((record.expand().labels != IGNORE_INDEX).sum()) for record in records),
        lower_bound=-(-num_tokens // BIN_CAPACITY),
    )
    manifest = Manifest(
        name="tiny-packs",
        details=details,
        shards=(shard,),
        account=Account(num_in=num_packs, num_kept=num_packs),
        lineage=Lineage.derive("tiny pack", "1", _NoConfig()),
    )
    write_manifest(directory, manifest)
    return directory


def _record(rng: np.random.Generator, pack_id: int) -> PackRecord:
    has_images = pack_id not in (1, 4)
    num_documents = int(rng.integers(1, 4))
    lengths = rng.integers(4, 10, size=num_documents)
    input_ids = rng.integers(1, IMAGE_TOKEN_ID, size=lengths.sum()).astype(np.int32)
    starts = np.cumsum(lengths) - lengths
    image_positions = (starts + 1).astype(np.int32) if has_images else np.empty(0, dtype=np.int32)
    input_ids[image_positions] = IMAGE_TOKEN_ID
    is_target = rng.random(len(input_ids)) < {0: 0.0, 1: 0.2}.get(pack_id, 0.9)
    is_target[image_positions] = False
    return PackRecord(
        input_ids=input_ids,
        is_target=is_target,
        document_lengths=lengths.astype(np.int32),
        image_positions=image_positions,
        image_tokens=np.full(len(image_positions), VISUAL_TOKENS, dtype=np.int32),
        document_keys=tuple(f"mock/{pack_id}-{number}" for number in range(num_documents)),
        image_types=("png",) * len(image_positions),
    )


class NotATrainee:
    """Lacks nearly everything."""

    def __init__(self, checkpoint: Path, packed: PackedDetails) -> None:
        self.model = nn.Linear(1, 1)
