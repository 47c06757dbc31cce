"""The configuration of `train-dfn`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from oqvl_shards.config import StageConfig
from oqvl_shards.tar.sample import ReadLimits


class TrainDfnConfig(StageConfig):
    """Configuration of `train-dfn`."""

    clean: Path = Field(
        description="dataset of kind image_text whose captions are true", json_schema_extra={"lineage": False}
    )
    output: Path = Field(description="directory of the network", json_schema_extra={"lineage": False})
    name: str = Field(default="dfn", min_length=1, description="name of the network")
    image_trunk: str = Field(default="tf_efficientnet_lite0", description="timm model that turns images into features")
    image_trunk_weights: Path = Field(
        description="its pretrained weights: a .safetensors or .pth file of tensors in the order of timm's model",
        json_schema_extra={"lineage": False},
    )
    image_size: int = Field(default=96, gt=0, description="side in pixels of the square that images are squashed to")
    image_mean: tuple[float, float, float] = Field(
        default=(0.5, 0.5, 0.5), description="subtracted from RGB values, which are 0 to 1"
    )
    image_std: tuple[float, float, float] = Field(
        default=(0.5, 0.5, 0.5), description="divides the RGB values after that"
    )
    embed_dim: int = Field(default=126, gt=0, description="dimensions of the common embedding")
    context_length: int = Field(
        default=32, ge=3, description="maximum number of tokens that are read of a caption, start and end included"
    )
    max_vocabulary: int = Field(
        default=8192, gt=0, description="number of tokens that get a vector, the most frequent ones"
    )
    image_ridge: float = Field(default=10.0, gt=0, description="regularisation of the image head, in feature variances")
    text_ridge: float = Field(
        default=0.01, gt=0, description="regularisation of the word vectors, in caption variances"
    )
    class_pairs: float = Field(
        default=1.0,
        ge=0,
        description="weight of each pair (ImageNet class name, classifier row) of the trunk; 0: no such pairs",
    )
    held_out_fraction: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="fraction of the pairs on which the network is measured before the final fit",
    )
    batch_size: int = Field(default=64, gt=0, description="images per forward pass of the trunk")
    limits: ReadLimits = Field(default=ReadLimits(), description="caps on what is read from a sample")
