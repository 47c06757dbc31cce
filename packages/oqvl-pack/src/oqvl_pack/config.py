"""The configurations of the commands."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from oqvl_pack.binpacking.algorithm import Algorithm
from oqvl_shards.config import MappedConfig, Paths, StageConfig
from oqvl_shards.tar.sample import ReadLimits

_MAX_TOKENS = (1 << 31) - 1  # records count them in 32 bits


class MixturePart(StageConfig):
    """One source of a mixture.

    At most one of `weight`, `num_samples` and `num_tokens` says how much of it to pack. Without any of them, all of it
    is packed.
    """

    source: Path = Field(
        description="directory of a dataset of kind image_text, conversation or interleaved",
        json_schema_extra={"lineage": False},
    )
    weight: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="share of the tokens of all weighted sources, in proportion to their weights; "
        "as much is packed as possible without using a document twice",
    )
    num_samples: int | None = Field(default=None, gt=0, description="exact number of documents to pack")
    num_tokens: int | None = Field(
        default=None, gt=0, description="number of tokens to pack, exact if whole documents add up to it"
    )

    @property
    def is_whole(self) -> bool:
        """Whether the whole source is packed."""
        return self.weight is None and self.num_samples is None and self.num_tokens is None

    @model_validator(mode="before")
    @classmethod
    def _path_alone_is_a_source(cls, value: object) -> object:
        return {"source": value} if isinstance(value, str | Path) else value

    @model_validator(mode="after")
    def _at_most_one_measure(self) -> Self:
        given = [name for name in ("weight", "num_samples", "num_tokens") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"at most one of weight, num_samples and num_tokens is allowed, not {' and '.join(given)}")
        return self


class PackConfig(MappedConfig):
    """Configuration of `run`. Exactly one of `source` and `mixture` is required."""

    source: Path | None = Field(
        default=None,
        description="directory of a dataset of kind image_text, conversation or interleaved; required without mixture",
        json_schema_extra={"lineage": False, "alternative": True},
    )
    mixture: tuple[MixturePart, ...] = Field(
        default=(),
        description="instead of source: several datasets, each a table with source and at most one of weight (share "
        "of tokens), num_samples (exact number of documents) and num_tokens (budget); a table without these, or a path "
        "instead of a table, means all of it",
        json_schema_extra={"alternative": True},
    )
    output: Path = Field(description="directory of the packed dataset", json_schema_extra={"lineage": False})
    name: str = Field(default="", description="name of the packed dataset; empty: the source's name with -packed")
    tokenizer: Path = Field(
        description="tokenizer.json of the model; its sha256 is recorded", json_schema_extra={"lineage": False}
    )
    layout: Literal["embedded", "reference"] = Field(
        default="embedded",
        description="embedded: tars with the records and the bytes of the images; reference: Arrow files that point "
        "into the source shards, which must stay where they are",
    )
    template: Literal["auto", "caption", "conversation", "interleaved"] = Field(
        default="auto",
        description="how a sample becomes tokens; auto: the template of its dataset's kind (image_text: caption)",
    )
    system_prompt: str = Field(
        default="You are a helpful assistant.",
        description="conversation: system turn of conversations without one; empty: no turn",
        json_schema_extra={"prose": True},
    )
    bin_capacity: int = Field(
        default=4096, gt=0, le=_MAX_TOKENS, description="most tokens per pack, visual tokens included"
    )
    visual_tokens_per_image: int = Field(
        default=144, gt=0, le=_MAX_TOKENS, description="number of visual tokens per image in the model"
    )
    visual_tokens_field: str = Field(
        default="",
        description="field of a sample's json with the number of visual tokens of each of its images: one number for "
        "all, or a list with one number per image; empty: visual_tokens_per_image for all",
    )
    min_images: int = Field(default=1, ge=0, description="interleaved: fewest images per document")
    max_images: int = Field(default=9, ge=0, description="interleaved: most images per document; 0: no limit")
    trailing_images: Literal["cut", "keep"] = Field(
        default="cut", description="interleaved: what to do with images after the last text: cut, or keep"
    )
    algorithm: Algorithm = Field(
        default="best", description="best, bfd, exact_fill, ffd or next_fit; see the package's README"
    )
    max_documents: int = Field(
        default=0, ge=0, description="most documents per pack; 0: no limit, 1: one sample per sequence"
    )
    overlong: Literal["error", "drop"] = Field(
        default="error", description="what to do with a document longer than bin_capacity: error, or drop (counted)"
    )
    seed: int = Field(default=0, description="seed of the order of packs, and of documents within a pack")
    packs_per_shard: int = Field(default=256, gt=0, description="number of packs per output shard")
    image_token: str = Field(default="<image>", min_length=1, description="special token that stands for an image")
    bos_token: str = Field(default="<s>", description="special token that begins every document; empty: none")
    start_token: str = Field(
        default="<|im_start|>", min_length=1, description="special token that begins a turn of a conversation"
    )
    chunk_token: str = Field(
        default="<|endofchunk|>", description="interleaved: special token that ends every text; empty: none"
    )
    end_token: str = Field(
        default="<|im_end|>", min_length=1, description="special token that ends a document or a turn"
    )
    pad_token: str = Field(default="<|pad|>", min_length=1, description="special token that a trainer may pad with")
    image_check: Literal["header", "decode"] = Field(
        default="header",
        description="check of every image; header reads format and size, decode reads every pixel (100 times slower)",
    )
    limits: ReadLimits = Field(default=ReadLimits(), description="limits on what is read from the source")

    @property
    def mixture_parts(self) -> tuple[MixturePart, ...]:
        """The sources and how much of each; `source` is a mixture of one."""
        return self.mixture or ((MixturePart(source=self.source),) if self.source else ())

    @field_validator("mixture", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str | Path | Mapping) else value

    @model_validator(mode="after")
    def _source_or_mixture(self) -> Self:
        if (self.source is None) == (not self.mixture):
            raise ValueError("exactly one of source and mixture is required")
        if self.max_images and self.max_images < self.min_images:
            raise ValueError(f"max_images={self.max_images} is below min_images={self.min_images}")
        if self.algorithm == "exact_fill" and self.max_documents:
            raise ValueError("algorithm=exact_fill does not support max_documents; use algorithm=best")
        return self

    @model_validator(mode="after")
    def _placeholder_stands_for_images_alone(self) -> Self:
        others = ("bos_token", "start_token", "chunk_token", "end_token", "pad_token")
        equal = [name for name in others if getattr(self, name) == self.image_token]
        if equal:
            raise ValueError(f"{equal[0]} is {self.image_token!r}, which image_token uses for images alone")
        return self


class PlanConfig(PackConfig):
    """Configuration of `plan`: that of `run`, and facts about the training that follows.

    `output` is optional, because nothing is kept there.
    """

    output: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()),
        description="directory of the packed dataset; to predict the seconds of writing, some packs are written to its "
        "disk and removed; default: the disk of temporary files",
        json_schema_extra={"lineage": False},
    )
    tokens_per_second: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="training throughput of one GPU in tokens per second; 0: unknown, no GPU hours are reported",
    )
    num_gpus: int = Field(default=1, ge=1, description="number of GPUs that train")
    padding_batch: int = Field(
        default=16, gt=0, description="sequences per batch of the padded training to compare with"
    )


class ShowConfig(StageConfig):
    """Configuration of `show`."""

    packed: Path = Field(description="directory of a packed dataset")
    pack: int = Field(default=0, description="index of the pack; negative numbers count from the end")
    output: Path = Field(
        default=Path("pack.png"),
        description="picture to draw, in an existing directory; its suffix decides the format: .png, .jpg, .webp, ...",
    )
    tokenizer: Path | None = Field(
        default=None, description="tokenizer.json; if set, the text of the documents is drawn too"
    )


class CheckConfig(MappedConfig):
    """Configuration of `check`."""

    packed: Path = Field(description="directory of the packed dataset")
    source: Path | None = Field(
        default=None,
        description="directory of the dataset that it was packed from; layout reference records it, so it needs none",
    )
    mixture: Paths = Field(
        default=(), description="instead of source: the directories of the mixture's sources, in order"
    )
    tokenizer: Path = Field(description="the tokenizer.json that it was packed with")

    @model_validator(mode="after")
    def _source_or_mixture(self) -> Self:
        if self.source is not None and self.mixture:
            raise ValueError("at most one of source and mixture is allowed")
        return self
