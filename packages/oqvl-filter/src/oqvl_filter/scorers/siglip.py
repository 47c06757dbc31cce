"""The scorer `siglip`: how well image and caption agree under a SigLIP model of transformers.

The score is the cosine of the two embeddings in float32, without the model's scale and bias (Zhai et al., 2023, arXiv
2303.15343), so that it is on the scale of the scorer `clip`. Captions are padded to the model's full length without
a mask, as SigLIP was trained, so that a score does not depend on the other captions of a batch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.config import SiglipScorerConfig
from oqvl_filter.scorers.embedding import PairScorer, unit_length
from oqvl_filter.scorers.image_pipeline import Preparation, processor_preparation
from oqvl_filter.weights import digest_directory, digest_weights
from oqvl_shards.errors import ConfigError, HardwareError, require_extra
from oqvl_shards.tar.sample import ReadLimits

if TYPE_CHECKING:
    import torch


class SiglipEncoder:
    """A SigLIP model of transformers as a `PairEncoder`; it is loaded when it is first needed.

    Args:
        config: Which model, and how it is run.
        limits: Caps on what is decoded.
    """

    def __init__(self, config: SiglipScorerConfig, limits: ReadLimits) -> None:
        self._config = config
        self._limits = limits

    def fingerprint(self) -> str:
        """Return a sha256 of the model's files (for a name on a hub: its weights), the decoder, precision and caps."""
        directory = Path(self._config.model)
        weights = digest_directory(directory) if directory.is_dir() else digest_weights(self.model)
        settings = {
            "decoder": self._config.decoder,
            "limits": self._limits.digest(),
            "precision": self._config.precision,
            "weights": weights,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    @cached_property
    def preparation(self) -> Preparation:
        """How the model's input is made of image files."""
        return processor_preparation(self._processor.image_processor, self._limits, self._config.decoder)

    def encode_images(self, pixels: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """Return embeddings [N, D] of length 1."""
        import torch

        pixels_N3HW = self.preparation.batch(pixels, self._config.device, self.model.dtype)
        with torch.inference_mode():
            return unit_length(self.model.get_image_features(pixel_values=pixels_N3HW).pooler_output)

    def encode_captions(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """Return embeddings [N, D] of length 1."""
        import torch

        length = self.model.config.text_config.max_position_embeddings
        tokens = self._processor.tokenizer(
            list(captions), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        with torch.inference_mode():
            input_ids = tokens["input_ids"].to(self._config.device)
            return unit_length(self.model.get_text_features(input_ids=input_ids).pooler_output)

    @cached_property
    def model(self) -> Any:
        """The network, in evaluation mode.

        Raises:
            MissingExtraError: When the extra `mlm` is not installed.
            ConfigError: When the model cannot be loaded.
            HardwareError: When the device is not there.
        """
        with require_extra("oqvl-filter", "mlm"):
            import torch
            from transformers import AutoModel
        dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[self._config.precision]
        try:
            model: Any = AutoModel.from_pretrained(self._config.model, dtype=dtype)
        except (OSError, ValueError, KeyError) as error:
            problem = str(error).partition("\n")[0]
            raise ConfigError(
                f"transformers cannot load {self._config.model!r}: {problem}", hint="check scorer.model="
            ) from error
        if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
            raise ConfigError(f"{self._config.model!r} is a {type(model).__name__}, expected a SigLIP model")
        try:
            return model.to(self._config.device).eval()
        except (RuntimeError, AssertionError) as error:
            raise HardwareError(f"the device {self._config.device!r} cannot be used: {error}") from error

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoProcessor

        try:
            return AutoProcessor.from_pretrained(self._config.model)
        except (OSError, ValueError, KeyError) as error:
            problem = str(error).partition("\n")[0]
            raise ConfigError(f"{self._config.model!r} has no processor that transformers loads: {problem}") from error


class SiglipScorer(PairScorer):
    """Scores pairs with a SigLIP model; a `Scorer`.

    Args:
        config: Which model, and how it is run.
        limits: Caps on what is read from a sample.
    """

    def __init__(self, config: SiglipScorerConfig, limits: ReadLimits) -> None:
        super().__init__("siglip", SiglipEncoder(config, limits), config)
