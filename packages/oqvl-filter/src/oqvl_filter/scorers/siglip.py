"""The scorer `siglip`: how well image and caption agree under a SigLIP model of transformers.

The score is the cosine of the two embeddings in float32, without the model's scale and bias (Zhai et al., 2023, arXiv
2303.15343), so it is on the scale of the scorer `clip`. Captions are padded to the model's full length without a mask,
as SigLIP was trained, so a score does not depend on the other captions of a batch.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from oqvl_filter.scorers.encoder import ModelEncoder, PairScorerConfig
from oqvl_filter.scorers.weights import digest_directory, digest_weights
from oqvl_shards.errors import ConfigError, require_extra
from oqvl_shards.tar.sample import ReadLimits

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from oqvl_filter.scorers.embedding import PairScorer
    from oqvl_filter.scorers.image_pipeline import Preparation


class SiglipScorerConfig(PairScorerConfig):
    """The scorer `siglip`: cosine of image and caption under a SigLIP model of transformers."""

    name: Literal["siglip"] = Field(description="which scorer: siglip")

    def build(self, limits: ReadLimits) -> PairScorer:
        """Return the scorer; the model is loaded when it is first needed."""
        from oqvl_filter.scorers.embedding import PairScorer

        return PairScorer("siglip", SiglipEncoder(self, limits), self)


class SiglipEncoder(ModelEncoder):
    """A SigLIP model of transformers as a `PairEncoder`."""

    extra: ClassVar[str] = "mlm"

    def _weights_identity(self) -> str:
        directory = Path(self.config.model)
        return digest_directory(directory) if directory.is_dir() else digest_weights(self.model)

    def _load(self, device: torch.device) -> Any:
        with require_extra("oqvl-filter", "mlm"):
            from transformers import AutoModel
        try:
            model: Any = AutoModel.from_pretrained(self.config.model, dtype=self.dtype)
        except (OSError, ValueError, KeyError) as error:
            problem = str(error).partition("\n")[0]
            raise ConfigError(
                f"transformers cannot load {self.config.model!r}: {problem}", hint="check scorer.model="
            ) from error
        if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
            raise ConfigError(f"{self.config.model!r} is a {type(model).__name__}, expected a SigLIP model")
        return model

    def _make_preparation(self) -> Preparation:
        from oqvl_filter.scorers.image_pipeline import processor_preparation

        return processor_preparation(self._processor.image_processor, self.limits, self.config.decoder)

    def _embed_images(self, pixels_N3HW: Tensor) -> Tensor:
        return self.model.get_image_features(pixel_values=pixels_N3HW).pooler_output

    def _embed_captions(self, captions: list[str]) -> Tensor:
        length = self.model.config.text_config.max_position_embeddings
        tokens = self._processor.tokenizer(
            captions, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        return self.model.get_text_features(input_ids=tokens["input_ids"].to(self.config.device)).pooler_output

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoProcessor

        try:
            return AutoProcessor.from_pretrained(self.config.model)
        except (OSError, ValueError, KeyError) as error:
            problem = str(error).partition("\n")[0]
            raise ConfigError(f"{self.config.model!r} has no processor that transformers loads: {problem}") from error
