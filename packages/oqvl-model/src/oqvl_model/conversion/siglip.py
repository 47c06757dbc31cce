"""The SigLIP tower of a source: timm's and transformers' names, and the sizes that follow from the tensors.

timm keeps the three projections of attention in one matrix `attn.qkv`, queries first; it is split in three. Its
`pos_embed` has a leading axis of 1, which is dropped. Blocks after the one that the features come from, the final norm
and the pooling head are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from torch import Tensor
from transformers import SiglipVisionConfig

from oqvl_model.conversion.key_map import Rule
from oqvl_model.conversion.tensor_files import StoredTensor
from oqvl_shards.errors import ConfigError

_BLOCK = re.compile(r"(?:.*\.)?(?:blocks|encoder\.layers)\.(\d+)\..*")
_PATCH = re.compile(r"(?:.*\.)?(?:patch_embed\.proj|embeddings\.patch_embedding)\.weight")
_POSITION = re.compile(r"(?:.*\.)?(?:pos_embed|embeddings\.position_embedding\.weight)")
_FIRST_MLP = re.compile(r"(?:.*\.)?(?:blocks|encoder\.layers)\.0\.mlp\.fc1\.weight")

_LATER_BLOCK = "a block after the one that the features come from"
_FINAL_NORM = "the final norm; the features are taken before it"
_POOLING_HEAD = "the pooling head; the features are a map"


def num_blocks(tensors: Mapping[str, StoredTensor]) -> int:
    """Return the number of blocks of the only tower in `tensors`."""
    return 1 + max((int(match[1]) for match in map(_BLOCK.fullmatch, tensors) if match), default=-1)


def tower_config(
    tensors: Mapping[str, StoredTensor], *, image_size: int, num_heads: int, hidden_act: str, where: str
) -> SiglipVisionConfig:
    """Return the configuration of the whole tower in `tensors`.

    Args:
        tensors: The tower's tensors, under timm's or transformers' names with any prefix.
        image_size: Side of the square input in pixels, which the tensors do not tell.
        num_heads: Number of attention heads, which they do not tell either.
        hidden_act: The activation that the tower runs with.
        where: The source, for messages.

    Raises:
        ConfigError: If the tensors are not those of a SigLIP, or do not fit the given numbers.
    """
    shapes = []
    for pattern in (_PATCH, _POSITION, _FIRST_MLP):
        key = next(filter(pattern.fullmatch, tensors), None)
        if key is None:
            raise ConfigError(
                f"{where} has no SigLIP tower: no key matches {pattern.pattern}",
                hint="give timm's ViT-SO400M-14-SigLIP-384 or transformers' siglip-so400m-patch14-384",
            )
        shapes.append(tensors[key].shape)
    (width, _, patch_size, _), position, (intermediate_size, _) = shapes
    side = image_size // patch_size
    if math.prod(position) != side * side * width or width % num_heads:
        raise ConfigError(
            f"{where}: the tower has width {width}, patches of {patch_size} pixels and {math.prod(position) // width} "
            f"positions, which does not fit images of {image_size} pixels ({side} x {side} patches) and "
            f"{num_heads} heads",
            hint="the tower must be the one that the model was trained with; else set image_size and num_heads",
        )
    return SiglipVisionConfig(
        hidden_size=width,
        intermediate_size=intermediate_size,
        num_hidden_layers=num_blocks(tensors),
        num_attention_heads=num_heads,
        image_size=image_size,
        patch_size=patch_size,
        hidden_act=hidden_act,
    )


def tower_rules(prefix: str, num_kept: int) -> list[Rule]:
    """Return the rules of a tower under either library's names.

    Args:
        prefix: Regular expression of what comes before the names.
        num_kept: Number of blocks up to the one that the features come from.
    """
    timm, hugging_face = rf"{prefix}(?:visual\.trunk\.)?", rf"{prefix}(?:vision_model\.)?"
    kept = "|".join(map(str, range(num_kept)))
    block = r"vision.layers.\1"
    return [
        Rule(rf"{timm}patch_embed\.proj\.(weight|bias)", (r"vision.embeddings.patch_embedding.\1",)),
        Rule(rf"{timm}pos_embed", ("vision.embeddings.position_embedding.weight",), _without_first_axis),
        Rule(
            rf"{timm}blocks\.({kept})\.attn\.qkv\.(weight|bias)",
            tuple(rf"{block}.self_attn.{name}_proj.\2" for name in "qkv"),
            _split_in_three,
        ),
        Rule(rf"{timm}blocks\.({kept})\.attn\.proj\.(weight|bias)", (rf"{block}.self_attn.out_proj.\2",)),
        Rule(rf"{timm}blocks\.({kept})\.norm([12])\.(weight|bias)", (rf"{block}.layer_norm\2.\3",)),
        Rule(rf"{timm}blocks\.({kept})\.mlp\.(fc[12])\.(weight|bias)", (rf"{block}.mlp.\2.\3",)),
        Rule(rf"{hugging_face}embeddings\.position_ids", reason="counts the positions, which the model does itself"),
        Rule(rf"{hugging_face}embeddings\.(.+)", (r"vision.embeddings.\1",)),
        Rule(rf"{hugging_face}encoder\.layers\.({kept})\.(.+)", (rf"{block}.\2",)),
        Rule(rf"{timm}blocks\.\d+\..+", reason=_LATER_BLOCK),
        Rule(rf"{hugging_face}encoder\.layers\.\d+\..+", reason=_LATER_BLOCK),
        Rule(rf"{timm}norm\.(weight|bias)", reason=_FINAL_NORM),
        Rule(rf"{hugging_face}post_layernorm\.(weight|bias)", reason=_FINAL_NORM),
        Rule(rf"{timm}(attn_pool|fc_norm)\..+", reason=_POOLING_HEAD),
        Rule(rf"{hugging_face}head\..+", reason=_POOLING_HEAD),
    ]


def contrastive_rules(prefix: str) -> list[Rule]:
    """Return the rules of what a contrastive model has beside its tower."""
    return [
        Rule(rf"{prefix}(text|text_model)\..+", reason="SigLIP's text tower"),
        Rule(rf"{prefix}logit_(scale|bias)", reason="SigLIP's contrastive loss"),
    ]


def _without_first_axis(tensor: Tensor) -> Sequence[Tensor]:
    return (tensor[0],)


def _split_in_three(tensor: Tensor) -> Sequence[Tensor]:
    return tensor.chunk(3)
