"""A model of your own in `oqvl-train`: a GRU that reads the mean colour of a picture and writes its caption.

    uv run examples/tiny_pool.py pool
    uv run examples/custom_trainee.py start
    uv run oqvl-pack run source=pool output=packed tokenizer=start/tokenizer.json bin_capacity=64 \
        visual_tokens_per_image=1
    PYTHONPATH=examples uv run oqvl-train run checkpoint=start packed=packed output=run \
        trainee=custom_trainee:ColourNamer trainee_options.max_image_pixels=10000 \
        num_epochs=20 global_batch_size=4 learning_rate=0.02 precision=fp32 device=cpu
    uv run oqvl-train show run

The second command writes the start checkpoint: weights, a tokenizer and a manifest. `ColourNamer` has the members
of `oqvl_train.Trainee`; the trainer provides the order of the data, checkpoints, exact resume, and several processes.

Shapes: B documents of a batch, T tokens of the longest, I images, E width, V vocabulary.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from oqvl_shards import Account, Lineage, Manifest, StageConfig, write_manifest
from oqvl_shards.dataset import describe_file
from oqvl_shards.manifest import CheckpointDetails, PackedDetails
from oqvl_shards.packed import IGNORE_INDEX, Pack

SPECIAL_TOKENS = ["<s>", "<image>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
WORDS = ["unknown", "a", "black", "blue", "green", "grey", "red", "square", "white"]
WIDTH = 32


class ColourModel(nn.Module):
    """Embeds tokens, puts the projected colour in place of the image token, and runs every document on its own."""

    def __init__(self, vocab_size: int, image_token_id: int) -> None:
        super().__init__()
        self.image_token_id = image_token_id
        self.embed = nn.Embedding(vocab_size, WIDTH)
        self.projector = nn.Linear(3, WIDTH)
        self.decoder = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, vocab_size)

    def forward(self, batch: ColourBatch) -> Tensor:
        """Return logits_BTV."""
        x_BTE = self.embed(batch.input_ids)
        is_image_BT = batch.input_ids == self.image_token_id
        x_BTE = x_BTE.masked_scatter(is_image_BT[..., None], self.projector(batch.colours).to(x_BTE.dtype))
        return self.head(self.decoder(x_BTE)[0]).float()


@dataclass(frozen=True)
class ColourBatch:
    """One forward pass: input_ids [B, T], labels [B, T], colours [I, 3] in 0..1."""

    input_ids: Tensor
    labels: Tensor
    colours: Tensor

    def pin_memory(self) -> ColourBatch:
        """Return the batch in page-locked memory."""
        return ColourBatch(*(getattr(self, field.name).pin_memory() for field in fields(self)))

    def to(self, device: Any) -> ColourBatch:
        """Return the batch on `device`."""
        return ColourBatch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


class ColourNamer:
    """The model in the form that `oqvl-train` needs.

    Args:
        checkpoint: The model directory to start from.
        packed: Facts about the packs: vocabulary, image token, capacity.
        max_image_pixels: Larger pictures are refused.
    """

    def __init__(self, checkpoint: Path, packed: PackedDetails, *, max_image_pixels: int = 50_000_000) -> None:
        self.max_image_pixels = max_image_pixels
        self.model: nn.Module = ColourModel(packed.vocab_size, packed.image_token_id)
        self.model.load_state_dict(load_file(checkpoint / "model.safetensors"))

    def collate(self, packs: Sequence[Pack]) -> ColourBatch:
        """Split the packs into documents. The GRU runs these side by side, so they cannot see each other."""
        input_ids, labels = [], []
        for pack in packs:
            sequence = pack.record.expand()
            bounds = list(zip(sequence.cu_seqlens, sequence.cu_seqlens[1:], strict=False))
            input_ids += [torch.from_numpy(sequence.input_ids[start:end]) for start, end in bounds]
            labels += [torch.from_numpy(sequence.labels[start:end]) for start, end in bounds]
        colours = [self._colour(image) for pack in packs for image in pack.images]
        return ColourBatch(
            pad_sequence(input_ids, batch_first=True),
            pad_sequence(labels, batch_first=True, padding_value=IGNORE_INDEX),
            torch.from_numpy(np.array(colours, dtype=np.float32).reshape(-1, 3)),
        )

    def _colour(self, data: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > self.max_image_pixels:
                raise ValueError(f"a picture of {image.width}x{image.height} pixels")
            return np.asarray(image.convert("RGB")).mean(axis=(0, 1)) / 255

    def loss(self, model: nn.Module, batch: ColourBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses over all targets, and their number. Labels are not shifted yet."""
        logits_BTV, labels_BT = model(batch)[:, :-1], batch.labels[:, 1:]
        loss = cross_entropy(logits_BTV.transpose(1, 2), labels_BT, ignore_index=IGNORE_INDEX, reduction="sum")
        return loss, (labels_BT != IGNORE_INDEX).sum()

    def shard_units(self, model: nn.Module) -> list[nn.Module]:
        """Return the layers to shard and recompute one by one. A single GRU has none that are worth it."""
        return []

    def replicated_modules(self, model: nn.Module) -> list[nn.Module]:
        """Return the frozen modules: none."""
        return []

    def num_flops(self, batch: ColourBatch) -> float:
        """Return six FLOPs per parameter and token, for forward and backward."""
        return 6.0 * sum(parameter.numel() for parameter in self.model.parameters()) * batch.input_ids.numel()

    def save(self, directory: Path, state_dict: Mapping[str, Tensor]) -> None:
        """Write the weights."""
        save_file(dict(state_dict), directory / "model.safetensors")


def write_start(directory: Path) -> None:
    """Write random weights, the tokenizer and the manifest of a checkpoint to `directory`."""
    directory.mkdir(parents=True)
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="unknown"))
    tokenizer.pre_tokenizer = Whitespace()  # pyrefly: ignore[read-only]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.save(str(directory / "tokenizer.json"))
    torch.manual_seed(0)
    model = ColourModel(tokenizer.get_vocab_size(), tokenizer.get_vocab()["<image>"])
    save_file(model.state_dict(), directory / "model.safetensors")
    shards = tuple(describe_file(path, directory, 1) for path in sorted(directory.iterdir()))
    details = CheckpointDetails(architecture="ColourModel", stage="init", visual_tokens_per_image=1)
    account = Account(num_in=len(shards), num_kept=len(shards))
    lineage = Lineage.derive("custom_trainee.py", "1", StageConfig())
    manifest = Manifest(name="colour-namer", details=details, shards=shards, account=account, lineage=lineage)
    write_manifest(directory, manifest)


if __name__ == "__main__":
    write_start(Path(sys.argv[1]))
