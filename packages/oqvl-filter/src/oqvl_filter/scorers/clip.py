"""The scorer `clip`: how well image and caption agree under an open_clip model.

The score is the cosine of the two embeddings, raw: no logit scale, no clamp, in float32 (Hessel et al., 2021, arXiv
2104.08718, without their rescaling). Scores of two models, or of two precisions, are on different scales: a threshold
belongs to one fingerprint, a fraction carries over.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oqvl_filter.config import ClipScorerConfig, OpenClipConfig
from oqvl_filter.scorers.embedding import PairScorer, unit_length
from oqvl_filter.scorers.image_pipeline import Preparation, torchvision_preparation
from oqvl_filter.weights import digest_directory, digest_file, digest_weights
from oqvl_shards.errors import ConfigError, HardwareError, require_extra
from oqvl_shards.tar.sample import ReadLimits

if TYPE_CHECKING:
    import torch

LOCAL = "local-dir:"

_TRAINED_ON_FILTERED = re.compile(r"dfn[0-9]*b", re.IGNORECASE)
"""Tags and names like dfn2b and DFN5B-CLIP: CLIPs trained on what a filtering network kept, not that network."""

_log = logging.getLogger(__name__)


class OpenClipEncoder:
    """An open_clip model as a `PairEncoder`; the model is loaded when it is first needed.

    Args:
        config: Which model, and how it is run.
        limits: Caps on what is decoded.
    """

    def __init__(self, config: OpenClipConfig, limits: ReadLimits) -> None:
        self._config = config
        self._limits = limits

    def fingerprint(self) -> str:
        """Return a sha256 of the weights, the pre-processing, the precision and the caps.

        Of files on this machine the bytes are hashed, and nothing is loaded.

        Raises:
            MissingExtraError: When the model must be loaded, and the extra `clip` is not installed.
            ConfigError: When it is not there.
        """
        settings = {
            "decoder": self._config.decoder,
            "limits": self._limits.digest(),
            "precision": self._config.precision,
            "weights": self._digest(),
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    @cached_property
    def preparation(self) -> Preparation:
        """How the model's input is made of image files."""
        from open_clip.transform import PreprocessCfg, image_transform_v2

        steps = image_transform_v2(PreprocessCfg(**self.model.visual.preprocess_cfg), is_train=False)
        return torchvision_preparation(steps, self._limits, self._config.decoder)

    def encode_images(self, pixels: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """Return embeddings [N, D] of length 1."""
        import torch

        dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[self._config.precision]
        with torch.inference_mode():
            return unit_length(self.model.encode_image(self.preparation.batch(pixels, self._config.device, dtype)))

    def encode_captions(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """Return embeddings [N, D] of length 1."""
        import torch

        with torch.inference_mode():
            return unit_length(self.model.encode_text(self._tokenizer(list(captions)).to(self._config.device)))

    @cached_property
    def model(self) -> Any:
        """The open_clip model, in evaluation mode.

        Raises:
            MissingExtraError: When the extra `clip` is not installed.
            ConfigError: When the model cannot be loaded.
            HardwareError: When the device is not there.
        """
        with require_extra("oqvl-filter", "clip"):
            import open_clip
            import torch
        warn_of_look_alikes(self._config)
        try:
            device = torch.device(self._config.device)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise HardwareError(f"the device {self._config.device!r} cannot be used: {error}") from error
        try:
            model: Any = open_clip.create_model(
                self._config.model,
                pretrained=self._config.pretrained or None,
                precision=self._config.precision,
                device=device,
            )
        except (FileNotFoundError, RuntimeError, ValueError) as error:
            problem = str(error).partition(" Available: [")[0]  # some hundred names
            near = difflib.get_close_matches(self._config.model, open_clip.list_models())
            raise ConfigError(
                f"open_clip cannot load the model {self._config.model!r}: {problem}",
                hint="check scorer.model= and scorer.pretrained=" + (f"; near: {', '.join(near)}" if near else ""),
            ) from error
        return model.eval()

    @cached_property
    def _tokenizer(self) -> Any:
        import open_clip

        return open_clip.get_tokenizer(self._config.model)

    def _digest(self) -> list[Any]:
        model, weights = self._config.model, Path(self._config.pretrained or ".")
        if model.startswith(LOCAL):
            directory = Path(model.removeprefix(LOCAL))
            if not directory.is_dir():
                raise ConfigError(
                    f"open_clip cannot load the model {model!r}: there is no such directory", hint="check scorer.model="
                )
            return [digest_directory(directory)]
        if weights.is_file():
            return [model, digest_file(weights)]
        weights_digest = digest_weights(self.model)
        tokenizer = [type(self._tokenizer).__name__, self._tokenizer.context_length]
        return [self.model.visual.preprocess_cfg, tokenizer, weights_digest]


class ClipScorer(PairScorer):
    """Scores pairs with an open_clip model; a `Scorer`.

    Args:
        config: Which model, and how it is run.
        limits: Caps on what is read from a sample.
    """

    def __init__(self, config: ClipScorerConfig, limits: ReadLimits) -> None:
        super().__init__("clip", OpenClipEncoder(config, limits), config)


def warn_of_look_alikes(config: OpenClipConfig) -> None:
    """Log a warning when the model was trained on the output of a filtering network and is none itself."""
    if _TRAINED_ON_FILTERED.search(config.pretrained) or _TRAINED_ON_FILTERED.search(config.model):
        _log.warning(
            "%s %s is a CLIP that was trained on filtered data, not a data filtering network; the published network "
            "is apple/DFN-public",
            config.model,
            config.pretrained,
        )
