"""The scorer `clip`: how well image and caption agree under an open_clip model.

The score is the cosine of the two embeddings, raw: no logit scale, no clamp, in float32 (Hessel et al., 2021, arXiv
2104.08718, without their rescaling). Scores of two models, or of two precisions, are on different scales: a threshold
belongs to one fingerprint, a fraction carries over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.config import ClipScorerConfig
from oqvl_filter.pool import PoolSample
from oqvl_filter.scorer import Row
from oqvl_shards.errors import ConfigError, HardwareError, require_extra
from oqvl_shards.image import decode_image
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.reader import ShardReader
from oqvl_shards.sample import ReadLimits, SampleError

if TYPE_CHECKING:
    import torch


class ClipScorer:
    """Scores pairs with an open_clip model; a `Scorer`. Loading it takes the time that loading the model takes.

    Args:
        config: Which model, and how it is run.
        limits: Caps on what is read from a sample.

    Raises:
        MissingExtraError: When the extra `clip` is not installed.
        ConfigError: When the model cannot be loaded.
        HardwareError: When the device is not there.
    """

    name: ClassVar[str] = "clip"
    columns: ClassVar[tuple[FieldSpec, ...]] = (
        FieldSpec(name="clip_score", dtype="float32", description="cosine of image and caption embedding, -1 to 1"),
    )
    counted: ClassVar[Mapping[str, str]] = {}

    def __init__(self, config: ClipScorerConfig, limits: ReadLimits) -> None:
        self.config = config
        self.limits = limits
        with require_extra("oqvl-filter", "clip"):
            import open_clip
            import torch
            from open_clip.transform import PreprocessCfg, image_transform_v2
        try:
            self._device = torch.device(config.device)
            torch.empty(0, device=self._device)
        except (RuntimeError, AssertionError) as error:
            raise HardwareError(f"the device {config.device!r} cannot be used: {error}") from error
        try:
            model: Any = open_clip.create_model(
                config.model, pretrained=config.pretrained or None, precision=config.precision, device=self._device
            )
            self._tokenizer = open_clip.get_tokenizer(config.model)
        except (FileNotFoundError, RuntimeError, ValueError) as error:
            raise ConfigError(f"open_clip cannot load the model {config.model!r}: {error}") from error
        self.model = model.eval()
        preprocessing = PreprocessCfg(**model.visual.preprocess_cfg)
        self._preprocess: Any = image_transform_v2(preprocessing, is_train=False)
        self._dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[config.precision]

    def fingerprint(self) -> str:
        """Return a sha256 of the weights, the pre-processing, the tokenizer, the precision and the caps."""
        settings = {
            "limits": self.limits.digest(),
            "precision": self.config.precision,
            "preprocessing": self.model.visual.preprocess_cfg,
            "tokenizer": [type(self._tokenizer).__name__, self._tokenizer.context_length],
            "weights": digest_weights(self.model),
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> list[Row | StrEnum]:
        """Return for each of `samples` its score, or the reason why it has none."""
        results: list[Any] = [sample.reject for sample in samples]
        captions = self._read_captions(reader, samples, results)
        text_embeddings = self._encode_captions(sorted(set(captions.values())))
        for batch in self._read_images(reader, samples, captions, results):
            images_ND = self._encode_images([pixels for _, pixels in batch])
            texts_ND = np.stack([text_embeddings[captions[index]] for index, _ in batch])
            cosines_N = np.einsum("nd,nd->n", images_ND, texts_ND)
            for (index, _), cosine in zip(batch, cosines_N.tolist(), strict=True):
                results[index] = {"clip_score": cosine}
        return results

    def _read_captions(self, reader: ShardReader, samples: Sequence[PoolSample], results: list[Any]) -> dict[int, str]:
        captions = {}
        for index, sample in enumerate(samples):
            if results[index] is None:
                try:
                    captions[index] = reader.text(sample.sample)
                except SampleError as error:
                    results[index] = error.reason
        return captions

    def _read_images(
        self, reader: ShardReader, samples: Sequence[PoolSample], captions: dict[int, str], results: list[Any]
    ) -> Iterator[list[tuple[int, torch.Tensor]]]:
        """Yield batches of (index of the sample, pixels [3, H, W]); what cannot be decoded goes to `results`."""
        batch = []
        for index in captions:
            try:
                _, content = reader.image(samples[index].sample)
                batch.append((index, self._preprocess(decode_image(content, self.limits))))
            except SampleError as error:
                results[index] = error.reason
            if len(batch) == self.config.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _encode_captions(self, captions: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        import torch

        embeddings: dict[str, NDArray[np.float32]] = {}
        for start in range(0, len(captions), self.config.batch_size):
            batch = captions[start : start + self.config.batch_size]
            with torch.inference_mode():
                embeddings_ND = self.model.encode_text(self._tokenizer(list(batch)).to(self._device))
            embeddings.update(zip(batch, _unit_length(embeddings_ND), strict=True))
        return embeddings

    def _encode_images(self, pixels: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            return _unit_length(self.model.encode_image(torch.stack(list(pixels)).to(self._device, self._dtype)))


def digest_weights(model: torch.nn.Module) -> str:
    """Return a sha256 of the names, types, shapes and bytes of all parameters and buffers of `model`."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _unit_length(embeddings_ND: torch.Tensor) -> NDArray[np.float32]:
    import torch

    return torch.nn.functional.normalize(embeddings_ND.float(), dim=-1).cpu().numpy()
