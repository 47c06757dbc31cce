"""The configurations of the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from oqvl_pack.algorithm import Algorithm, Overlong
from oqvl_shards.config import StageConfig
from oqvl_shards.sample import ReadLimits


class PackConfig(StageConfig):
    """Configuration of `run` and `plan`."""

    source: Path = Field(
        description="directory of a dataset of kind image_text or conversation", json_schema_extra={"lineage": False}
    )
    output: Path = Field(description="directory of the packed dataset", json_schema_extra={"lineage": False})
    name: str = Field(default="", description="name of the packed dataset; empty: the source's, with -packed")
    tokenizer: Path = Field(
        description="tokenizer.json of the model; its sha256 is recorded", json_schema_extra={"lineage": False}
    )
    template: Literal["caption", "conversation"] = Field(
        default="caption", description="how a sample becomes tokens: caption for image_text, conversation for its kind"
    )
    system_prompt: str = Field(
        default="You are a helpful assistant.",
        description="conversation: system turn of conversations that have none of their own; empty: no turn",
    )
    bin_capacity: int = Field(default=4096, gt=0, description="tokens a pack holds at most, visual tokens included")
    visual_tokens_per_image: int = Field(
        default=144, gt=0, description="visual tokens that one image becomes in the model"
    )
    algorithm: Algorithm = Field(
        default="best", description="best, bfd, exact_fill, ffd or next_fit; see the package's README"
    )
    max_documents: int = Field(
        default=0, ge=0, description="documents a pack holds at most; 0: any number, 1: one sample a sequence"
    )
    overlong: Overlong = Field(
        default="error", description="a document longer than bin_capacity: error, or drop (counted)"
    )
    seed: int = Field(default=0, description="seed of the order of packs, and of documents in a pack")
    packs_per_shard: int = Field(default=256, gt=0, description="packs that one output shard holds")
    image_token: str = Field(default="<image>", description="special token that stands for an image")
    bos_token: str = Field(default="<s>", description="special token that every document begins with; empty: none")
    start_token: str = Field(default="<|im_start|>", description="special token that begins a turn of a conversation")
    end_token: str = Field(default="<|im_end|>", description="special token that ends a caption or a turn")
    pad_token: str = Field(default="<|pad|>", description="special token that a trainer may fill up with")
    image_check: Literal["header", "decode"] = Field(
        default="header",
        description="what every image must pass: header reads format and size, decode every pixel (100 times slower)",
    )
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read from the source")
    num_workers: int = Field(
        default=1, ge=1, description="processes that read and write shards", json_schema_extra={"lineage": False}
    )


class ShowConfig(StageConfig):
    """Configuration of `show`."""

    packed: Path = Field(description="directory of a packed dataset")
    pack: int = Field(default=0, description="index of the pack; negative: from the end")
    output: Path = Field(default=Path("pack.png"), description="PNG file to draw")
    tokenizer: Path | None = Field(default=None, description="tokenizer.json; given, the documents' text is drawn too")


class CheckConfig(StageConfig):
    """Configuration of `check`."""

    packed: Path = Field(description="directory of the packed dataset")
    source: Path = Field(description="directory of the dataset that it was packed from")
    tokenizer: Path = Field(description="the tokenizer.json that it was packed with")
    num_workers: int = Field(default=1, ge=1, description="processes that read shards")
