"""The scorer `clip`: how well image and caption agree under an open_clip model.

The score is the raw cosine of the two embeddings in float32: no logit scale, no clamp (Hessel et al., 2021, arXiv
2104.08718, without their rescaling). Scores of two models, or of two precisions, are on different scales. A threshold
belongs to one fingerprint; a fraction carries over.
"""

from __future__ import annotations

import difflib
import logging
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from oqvl_filter.scorers.encoder import EncoderConfig, ModelEncoder, PairScorerConfig
from oqvl_filter.scorers.weights import digest_directory, digest_file, digest_weights
from oqvl_shards.dataset import MANIFEST_NAME, open_dataset
from oqvl_shards.errors import ConfigError, require_extra
from oqvl_shards.manifest import Kind, Manifest
from oqvl_shards.tar.sample import ReadLimits

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from oqvl_filter.scorers.embedding import PairScorer
    from oqvl_filter.scorers.image_pipeline import Preparation

_LOCAL = "local-dir:"
"""Start of a model's name that is a directory."""

_TRAINED_ON_FILTERED = re.compile(r"dfn[0-9]*b", re.IGNORECASE)
"""Tags and names like dfn2b and DFN5B-CLIP: CLIPs trained on what a filtering network kept, not that network."""

_log = logging.getLogger(__name__)


class OpenClipConfig(EncoderConfig):
    """An open_clip model, and how it is run."""

    model: str = Field(
        description="open_clip model: a name (ViT-B-32), hf-hub:ORGANISATION/NAME, or local-dir:PATH",
        json_schema_extra={"lineage": False},
    )
    pretrained: str = Field(
        default="",
        description="open_clip tag or weights file of a model given by name; empty for hf-hub: and local-dir:",
        json_schema_extra={"lineage": False},
    )

    def parents(self) -> list[Manifest]:
        """Return the manifest of a data filtering network; models without a manifest have no lineage."""
        if not self.model.startswith(_LOCAL):
            return []
        directory = Path(self.model.removeprefix(_LOCAL))
        return [open_dataset(directory, Kind.CHECKPOINT).manifest] if (directory / MANIFEST_NAME).exists() else []


class ClipScorerConfig(OpenClipConfig, PairScorerConfig):
    """The scorer `clip`: cosine of image and caption under an open_clip model."""

    name: Literal["clip"] = Field(description="which scorer: clip")

    def build(self, limits: ReadLimits) -> PairScorer:
        """Return the scorer; the model is loaded when it is first needed."""
        from oqvl_filter.scorers.embedding import PairScorer

        return PairScorer("clip", OpenClipEncoder(self, limits), self)


class OpenClipEncoder(ModelEncoder):
    """An open_clip model as a `PairEncoder`.

    Args:
        config: Which model, and how it is run.
        limits: Caps on what is decoded.
    """

    extra: ClassVar[str] = "clip"

    def __init__(self, config: OpenClipConfig, limits: ReadLimits) -> None:
        super().__init__(config, limits)
        self._pretrained = config.pretrained

    def _weights_identity(self) -> list[Any]:
        name = self.config.model
        if name.startswith(_LOCAL):
            directory = Path(name.removeprefix(_LOCAL))
            if not directory.is_dir():
                raise ConfigError(
                    f"open_clip cannot load the model {name!r}: there is no such directory", hint="check scorer.model="
                )
            return [digest_directory(directory)]
        weights = Path(self._pretrained or ".")
        if weights.is_file():
            return [name, digest_file(weights)]
        weights_digest = digest_weights(self.model)
        tokenizer = [type(self._tokenizer).__name__, self._tokenizer.context_length]
        return [self.model.visual.preprocess_cfg, tokenizer, weights_digest]

    def _load(self, device: torch.device) -> Any:
        """Return the open_clip model; errors suggest names that are close to the given one."""
        with require_extra("oqvl-filter", "clip"):
            import open_clip
        warn_of_look_alikes(self.config.model, self._pretrained)
        try:
            return open_clip.create_model(
                self.config.model,
                pretrained=self._pretrained or None,
                precision=self.config.precision,
                device=device,
            )
        except (FileNotFoundError, RuntimeError, ValueError) as error:
            problem = str(error).partition(" Available: [")[0]  # hundreds of names
            near = difflib.get_close_matches(self.config.model, open_clip.list_models())
            raise ConfigError(
                f"open_clip cannot load the model {self.config.model!r}: {problem}",
                hint="check scorer.model= and scorer.pretrained=" + (f"; near: {', '.join(near)}" if near else ""),
            ) from error

    def _make_preparation(self) -> Preparation:
        from open_clip.transform import PreprocessCfg, image_transform_v2

        from oqvl_filter.scorers.image_pipeline import torchvision_preparation

        steps = image_transform_v2(PreprocessCfg(**self.model.visual.preprocess_cfg), is_train=False)
        return torchvision_preparation(steps, self.limits, self.config.decoder)

    def _embed_images(self, pixels_N3HW: Tensor) -> Tensor:
        return self.model.encode_image(pixels_N3HW)

    def _embed_captions(self, captions: list[str]) -> Tensor:
        return self.model.encode_text(self._tokenizer(captions).to(self.config.device))

    @cached_property
    def _tokenizer(self) -> Any:
        import open_clip

        return open_clip.get_tokenizer(self.config.model)


def warn_of_look_alikes(model: str, pretrained: str) -> None:
    """Log a warning if a model was trained on the output of a filtering network and is not such a network itself."""
    if _TRAINED_ON_FILTERED.search(pretrained) or _TRAINED_ON_FILTERED.search(model):
        _log.warning(
            "%s %s is a CLIP that was trained on filtered data, not a data filtering network; the published network "
            "is apple/DFN-public",
            model,
            pretrained,
        )
