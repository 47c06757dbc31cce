"""The model as a trainer sees it: it turns packs into batches, and batches into a loss.

Shape suffixes: T tokens of the row, N targets, I images, P features per image, D tower width, V vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from huggingface_hub import save_torch_state_dict
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from oqvl_model.feature_cache import FeatureCache
from oqvl_model.flops import training_flops
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import TOKENIZER_FILE, OqvlProcessor
from oqvl_shards.errors import ConfigError, DataError
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import PackedDetails
from oqvl_shards.packed.record import IGNORE_INDEX, Pack, TrainingSequence
from oqvl_shards.tar.sample import ReadLimits, SampleError

_PARTS = ("vision", "projector", "text")
"""The parts of the model that can be trained."""


@dataclass(frozen=True)
class PackedBatch:
    """Several packs joined into one row.

    Args:
        input_ids: int64 [1, T].
        position_ids: int64 [1, T]. The positions restart at 0 with every document.
        cu_seqlens: int32 [documents + 1], from 0 to T.
        max_seqlen: Tokens of the longest document.
        source_positions: int64 [N], the positions whose logits predict the targets.
        targets: int64 [N].
        pixel_values: float32 [I, 3, H, W], without the images of packs whose features are cached.
        document_lengths: Tokens of each document.
        image_tokens: Visual tokens of each image, also of images whose features are cached.
        pack_images: One (pack id, number of its rows in `pixel_values`) per pack; the number is 0 for a cached pack.
    """

    input_ids: Tensor
    position_ids: Tensor
    cu_seqlens: Tensor
    max_seqlen: int
    source_positions: Tensor
    targets: Tensor
    pixel_values: Tensor
    document_lengths: tuple[int, ...]
    image_tokens: tuple[int, ...]
    pack_images: tuple[tuple[int, int], ...]

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> Self:
        """Return the batch with its tensors on `device`."""
        moved = {name: tensor.to(device, non_blocking=non_blocking) for name, tensor in self._tensors().items()}
        return replace(self, **moved)

    def pin_memory(self) -> Self:
        """Return the batch with its tensors in page-locked memory, which allows asynchronous copies to a device."""
        return replace(self, **{name: tensor.pin_memory() for name, tensor in self._tensors().items()})

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


class PackedTrainee:
    """Trains an `OqvlForConditionalGeneration` on packed data.

    Args:
        checkpoint: The model directory.
        packed: Description of the packed data. It sets the number of visual tokens per image. If that is 0, the packs
            give a number for each image, and the model keeps its own number.
        trainable: The parts to train: one or several of `vision`, `projector` and `text`. They are kept in float32;
            the other parts are frozen.
        frozen_dtype: Name of the torch dtype that frozen parts are kept in, e.g. `bfloat16`.
        max_image_pixels: Maximum number of pixels of a stored image. Larger images are refused before decoding.
        feature_cache_mib: Memory in MiB for the features of a frozen tower, which later epochs reuse. 0 means no cache.

    Raises:
        ConfigError: If the model does not fit the data, or the options contradict each other.
    """

    def __init__(
        self,
        checkpoint: Path | str,
        packed: PackedDetails,
        *,
        trainable: Sequence[str] | str = ("projector", "text"),
        frozen_dtype: str = "float32",
        max_image_pixels: int = ReadLimits().max_image_pixels,
        feature_cache_mib: int = 0,
    ) -> None:
        checkpoint = Path(checkpoint)
        self.trainable = (trainable,) if isinstance(trainable, str) else tuple(trainable)
        _check_trainable(self.trainable)
        self.processor = OqvlProcessor.from_pretrained(checkpoint)
        _check_tokenizer(self.processor, packed, checkpoint)
        self.model = OqvlForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
        _check_model(self.model, packed, checkpoint)
        self._is_mixed = packed.visual_tokens_per_image == 0
        if not self._is_mixed:
            self.model.set_visual_tokens(packed.visual_tokens_per_image)
        for part in _PARTS:
            module = getattr(self.model, part).requires_grad_(part in self.trainable)
            if part not in self.trainable:
                module.to(getattr(torch, frozen_dtype))
        self._limits = ReadLimits(max_image_pixels=max_image_pixels)
        if feature_cache_mib and "vision" in self.trainable:
            raise ConfigError(
                f"feature_cache_mib is {feature_cache_mib}, but trainable includes vision, whose features change",
                hint="set feature_cache_mib=0, or freeze the tower",
            )
        self._feature_cache = FeatureCache(feature_cache_mib << 20) if feature_cache_mib else None

    def collate(self, packs: Sequence[Pack]) -> PackedBatch:
        """Decode the packs' images and join the packs into one row, on the CPU.

        Raises:
            DataError: If a pack does not fit the model, or an image cannot be decoded.
        """
        for pack in packs:
            self._check_pack(pack)
        sequence = TrainingSequence.concatenate([pack.record.expand() for pack in packs])
        is_target_T = sequence.labels != IGNORE_INDEX
        # The logits at a position predict the next token. Position 0 is never a target: `expand` makes sure of that.
        target_positions_N = np.flatnonzero(is_target_T)
        document_lengths = np.diff(sequence.cu_seqlens)
        cached = self._feature_cache or ()
        images_of_packs = [() if pack.pack_id in cached else tuple(self._images(pack)) for pack in packs]
        return PackedBatch(
            input_ids=torch.from_numpy(sequence.input_ids)[None],
            position_ids=torch.from_numpy(sequence.position_ids)[None],
            cu_seqlens=torch.from_numpy(sequence.cu_seqlens),
            max_seqlen=int(document_lengths.max()),
            source_positions=torch.from_numpy(target_positions_N - 1),
            targets=torch.from_numpy(sequence.labels[target_positions_N]),
            pixel_values=self.processor.pixels([image for images in images_of_packs for image in images]),
            document_lengths=tuple(document_lengths.tolist()),
            image_tokens=tuple(number for pack in packs for number in pack.record.image_tokens.tolist()),
            pack_images=tuple((pack.pack_id, len(images)) for pack, images in zip(packs, images_of_packs, strict=True)),
        )

    def _check_pack(self, pack: Pack) -> None:
        """Raise `DataError` unless the pack's images and token ids fit the model."""
        record, config = pack.record, self.model.config
        placeholders = np.flatnonzero(record.input_ids == config.image_token_id)
        problems = {
            "its images and image positions differ in number": len(pack.images) != len(record.image_positions),
            "its image positions do not hold the model's image token": not np.array_equal(
                placeholders, record.image_positions
            ),
            f"an image does not have {self._expected_tokens()} visual tokens": not np.isin(
                record.image_tokens, self._possible_tokens()
            ).all(),
            "a token id is outside the model's vocabulary": bool(
                ((record.input_ids < 0) | (record.input_ids >= config.text_config.vocab_size)).any()
            ),
        }
        for problem, is_present in problems.items():
            if is_present:
                raise DataError(f"pack {pack.pack_id}: {problem}", hint="pack the data for this model again")

    def _possible_tokens(self) -> list[int]:
        """Return the numbers of visual tokens that an image may have."""
        config = self.model.config
        if not self._is_mixed:
            return [config.visual_tokens_per_image]
        return [side * side for side in range(1, config.grid_size + 1)]

    def _expected_tokens(self) -> str:
        if not self._is_mixed:
            return f"the model's {self.model.config.visual_tokens_per_image}"
        return f"a square number from 1 to {self.model.config.grid_size**2} of"

    def _images(self, pack: Pack) -> Iterable[Any]:
        for index, data in enumerate(pack.images):
            try:
                yield decode_image(data, self._limits, pack.record.image_types[index])
            except SampleError as error:
                raise DataError(
                    f"pack {pack.pack_id}, image {index}: {error}", hint="the packed shard is damaged: pack again"
                ) from error

    def loss(self, model: OqvlForConditionalGeneration, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of the targets' cross entropies (float32 scalar) and the number of targets (int64 scalar).

        The head runs only at the positions that predict a target. A batch without images passes zero rows through the
        projector, which gives it gradients of zero. Every process therefore reduces the same parameters.
        """
        logits_1NV = model(
            input_ids=batch.input_ids,
            **self._image_arguments(model, batch),
            position_ids=batch.position_ids,
            cu_seqlens=batch.cu_seqlens,
            max_seqlen=batch.max_seqlen,
            logits_to_keep=batch.source_positions,
        ).logits
        loss = cross_entropy(logits_1NV[0].float(), batch.targets, reduction="sum")
        return loss, torch.tensor(batch.targets.numel(), device=loss.device)

    def _image_arguments(self, model: Any, batch: PackedBatch) -> dict[str, Any]:
        """Return the forward pass's arguments for images: the pixels, or the features [I, P, D] if there is a cache.

        If the packs name a number of visual tokens for each image, the numbers are among the arguments.
        """
        cache = self._feature_cache
        arguments: dict[str, Any] = {"image_tokens": batch.image_tokens} if self._is_mixed else {}
        if cache is None:
            return {"pixel_values": batch.pixel_values, **arguments}
        pixels_of_packs = batch.pixel_values.split([num_images for _, num_images in batch.pack_images])
        features = []
        for (pack_id, _), pixels in zip(batch.pack_images, pixels_of_packs, strict=True):
            features_IPD = cache[pack_id] if pack_id in cache else model.encode_images(pixels)
            cache.add(pack_id, features_IPD)
            features.append(features_IPD)
        return {"vision_features": torch.cat(features), **arguments}

    def shard_units(self, model: OqvlForConditionalGeneration) -> list[nn.Module]:
        """Return the modules to shard one by one: the decoder's layers.

        The projector stays with the root module. Every process gathers it there, whether or not it has an image.
        """
        return list(model.text.base_model.layers)

    def replicated_modules(self, model: OqvlForConditionalGeneration) -> list[nn.Module]:
        """Return the frozen modules to keep whole on every process: the tower, unless it trains."""
        return [] if "vision" in self.trainable else [model.vision]

    def num_flops(self, batch: PackedBatch) -> float:
        """Return the model FLOPs of one forward and backward pass over `batch`; see `training_flops`."""
        return training_flops(
            self.model.config,
            document_lengths=batch.document_lengths,
            num_images=batch.pixel_values.shape[0],
            num_logits=batch.targets.numel(),
            trainable=self.trainable,
            image_tokens=batch.image_tokens,
        ).total

    def save(self, directory: Path, state_dict: Mapping[str, Tensor]) -> None:
        """Write a model directory that `from_pretrained` reads.

        Args:
            directory: The directory to write to. It is created if it does not exist.
            state_dict: All parameters and persistent buffers, by their names in the model, as whole tensors.
        """
        directory.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
        for tied in self.model.all_tied_weights_keys:
            weights.pop(tied, None)
        save_torch_state_dict(weights, directory, metadata={"format": "pt"})
        self.model.config.save_pretrained(directory)
        self.model.generation_config.save_pretrained(directory)
        visual_tokens = self.model.config.visual_tokens_per_image
        config = self.processor.config.model_copy(update={"visual_tokens_per_image": visual_tokens})
        OqvlProcessor(config, self.processor.tokenizer_json).save_pretrained(directory)


def _check_trainable(trainable: Sequence[str]) -> None:
    unknown = sorted(set(trainable) - set(_PARTS))
    if unknown or not trainable:
        raise ConfigError(
            f"trainable is {list(trainable)}, expected one or more of {list(_PARTS)}",
            hint='for example trainee_options.trainable=["projector"]',
        )


def _check_tokenizer(processor: OqvlProcessor, packed: PackedDetails, checkpoint: Path) -> None:
    digest = hashlib.sha256(processor.tokenizer_json).hexdigest()
    if digest != packed.tokenizer_sha256:
        raise ConfigError(
            f"the data was packed with tokenizer {packed.tokenizer_sha256[:12]}, but "
            f"{checkpoint / TOKENIZER_FILE} is {digest[:12]}",
            hint="pack the data again with the checkpoint's tokenizer.json",
        )


def _check_model(model: OqvlForConditionalGeneration, packed: PackedDetails, checkpoint: Path) -> None:
    """Raise `ConfigError` unless the model has the image token, the ids and the positions that the data needs."""
    config, text = model.config, model.config.text_config
    if config.image_token_id != packed.image_token_id:
        mismatch = f"image_token_id is {config.image_token_id}, but the packed data needs {packed.image_token_id}"
    elif text.vocab_size < packed.vocab_size:
        mismatch = f"vocab_size is {text.vocab_size}, but the packed data needs {packed.vocab_size}"
    elif text.max_position_embeddings < packed.bin_capacity:
        mismatch = (
            f"longest document is {text.max_position_embeddings}, but the packed data needs {packed.bin_capacity}"
        )
    else:
        return
    raise ConfigError(f"{checkpoint}: {mismatch}", hint="pack the data again for this checkpoint")
