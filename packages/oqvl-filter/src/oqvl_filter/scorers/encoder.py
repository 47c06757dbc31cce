"""Models that embed images and captions into one space: their configuration, and what all of them do alike.

`ModelEncoder` loads its model at first use, checks the device, prepares and embeds batches, and names the model by its
content. `clip` and `siglip` add how their libraries load a model and what its towers are called. N pairs, D dimensions.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oqvl_filter.scorers.scorer import BaseScorerConfig
from oqvl_shards.errors import HardwareError, require_extra
from oqvl_shards.tar.sample import ReadLimits

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from oqvl_filter.scorers.image_pipeline import Preparation


class EncoderConfig(BaseScorerConfig):
    """A network that embeds images, and how it is run."""

    # Where the weights are does not decide the scores; what they are does, and the fingerprint records that.
    model: str = Field(
        description="directory of the model with its processor, or its name on a hub",
        json_schema_extra={"lineage": False},
    )
    precision: Literal["fp32", "fp16", "bf16"] = Field(default="fp32", description="number format of the model")
    batch_size: int = Field(
        default=64, gt=0, description="pairs per forward pass; changes a score by no more than rounding errors"
    )
    device: str = Field(
        default="cpu", description="torch device, e.g. cpu or cuda", json_schema_extra={"lineage": False}
    )
    decoder: Literal["exact", "fast"] = Field(
        default="exact", description="exact: the model's own pre-processing; fast: torch resizes 8-bit integers"
    )
    decode_threads: int = Field(
        default=2,
        ge=0,
        description="threads that decode and resize ahead of the model; 0: decode between the batches",
        json_schema_extra={"lineage": False},
    )


class PairScorerConfig(EncoderConfig):
    """What the scorers `clip` and `siglip` have in common."""

    image_embedding: Literal["none", "float16", "float32"] = Field(
        default="none",
        description="number format in which to store the image's embedding (of length 1) as well, for dedup "
        "method=embedding and the scorer aesthetic",
    )


class ImageEncoder(Protocol):
    """Embeds images."""

    def fingerprint(self) -> str:
        """Return a sha256 of everything that decides the embeddings: weights, pre-processing, number format, caps."""
        ...

    @property
    def preparation(self) -> Preparation:
        """How image files become the model's input."""
        ...

    def encode_images(self, pixels: Sequence[Tensor]) -> NDArray[np.float32]:
        """Return embeddings [N, D] of length 1 of what `preparation.pixels` returned."""
        ...


class PairEncoder(ImageEncoder, Protocol):
    """Embeds images and captions into one space."""

    def encode_captions(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """Return embeddings [N, D] of length 1."""
        ...


class ModelEncoder(ABC):
    """The shared part of the encoders; a `PairEncoder`.

    Args:
        config: Which model, and how it is run.
        limits: Caps on what is decoded.
    """

    extra: ClassVar[str]
    """The extra of oqvl-filter that installs the model's library."""

    def __init__(self, config: EncoderConfig, limits: ReadLimits) -> None:
        self.config = config
        self.limits = limits

    def fingerprint(self) -> str:
        """Return a sha256 of the weights, the decoder, the precision and the caps.

        If the model's files are on this machine, their bytes are hashed and nothing is loaded.

        Raises:
            MissingExtraError: If the model must be loaded and the extra is not installed.
            ConfigError: If the model does not exist.
        """
        settings = {
            "decoder": self.config.decoder,
            "limits": self.limits.digest(),
            "precision": self.config.precision,
            "weights": self._weights_identity(),
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    @cached_property
    def preparation(self) -> Preparation:
        """How image files become the model's input."""
        return self._make_preparation()

    @cached_property
    def model(self) -> Any:
        """The network, in evaluation mode.

        Raises:
            MissingExtraError: If the extra is not installed.
            ConfigError: If the model cannot be loaded.
            HardwareError: If the device does not exist.
        """
        with require_extra("oqvl-filter", self.extra):
            import torch
        try:
            device = torch.device(self.config.device)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise HardwareError(f"the device {self.config.device!r} cannot be used: {error}") from error
        return self._load(device).to(device).eval()

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the model."""
        import torch

        return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[self.config.precision]

    def encode_images(self, pixels: Sequence[Tensor]) -> NDArray[np.float32]:
        """Return embeddings [N, D] of length 1."""
        import torch

        with torch.inference_mode():
            pixels_N3HW = self.preparation.batch(pixels, self.config.device, self.dtype)
            return unit_length(self._embed_images(pixels_N3HW))

    def encode_captions(self, captions: Sequence[str]) -> NDArray[np.float32]:
        """Return embeddings [N, D] of length 1."""
        import torch

        with torch.inference_mode():
            return unit_length(self._embed_captions(list(captions)))

    @abstractmethod
    def _weights_identity(self) -> Any:
        """Return what tells this model from others, as JSON values: digests of files, or of the loaded weights."""

    @abstractmethod
    def _load(self, device: torch.device) -> Any:
        """Return the network in the precision of the configuration.

        Raises:
            ConfigError: If it cannot be loaded.
        """

    @abstractmethod
    def _make_preparation(self) -> Preparation:
        """Return how image files become the model's input."""

    @abstractmethod
    def _embed_images(self, pixels_N3HW: Tensor) -> Tensor:
        """Return the image tower's output [N, D]."""

    @abstractmethod
    def _embed_captions(self, captions: list[str]) -> Tensor:
        """Return the text tower's output [N, D]."""


def unit_length(embeddings_ND: Tensor) -> NDArray[np.float32]:
    """Return embeddings [N, D] scaled to length 1, in float32."""
    import torch

    return torch.nn.functional.normalize(embeddings_ND.float(), dim=-1).cpu().numpy()
