"""The layout of the released Open-Qwen2VL weights, which it shares with Prismatic VLMs.

    config.json                         "model": model_id, arch_specifier, vision_backbone_id, llm_backbone_id, ...
    checkpoints/latest-checkpoint.pt    "model": projector, llm_backbone and, if it was trained, vision_backbone

`arch_specifier` is `[no-align+|full-align+]` and one of:

    avgpool        pooling to 144 visual tokens, then Linear, GELU, Linear
    N-avgpool      the same with N visual tokens
    gelu-mlp       no pooling: one visual token per feature

The checkpoint normally lacks the tower, which is timm's. timm's SigLIP runs with the exact GELU, and so must the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from transformers import Qwen2Config, SiglipVisionConfig

from oqvl_model.config import ConvertConfig
from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.conversion.key_map import Rule
from oqvl_model.conversion.qwen2 import decoder_rules, read_decoder_config, set_from_weights
from oqvl_model.conversion.siglip import contrastive_rules, tower_config, tower_rules
from oqvl_model.conversion.source_model import SourceModel, read_json, refuse
from oqvl_model.conversion.tensor_files import StoredTensor, open_model_directory, open_weights
from oqvl_model.conversion.tokenizer import make_processor
from oqvl_model.special_tokens import add_released_tokens
from oqvl_shards.errors import ConfigError

CHECKPOINT = "checkpoints/latest-checkpoint.pt"

_TOWERS = {
    "siglip-vit-so400m": (224, 16),
    "siglip-vit-so400m-384px": (384, 16),
    "siglip-vit-b16-224px": (224, 12),
    "siglip-vit-b16-256px": (256, 12),
    "siglip-vit-b16-384px": (384, 12),
}
"""Image side in pixels and attention heads of the towers that can be converted, by vision_backbone_id."""

_ARCHITECTURE = re.compile(r"(?:[a-z]+-align\+)?(?:(?:(\d+)-)?(avgpool)|(gelu-mlp))")
_DEFAULT_VISUAL_TOKENS = 144
_TRIM_BLOCKS = 1


class _Fields(NamedTuple):
    """The fields of the source's configuration that decide the conversion."""

    model_id: str
    visual_tokens: int | None
    image_size: int
    num_heads: int
    max_length: int | None


def open_open_qwen2vl(config: ConvertConfig) -> SourceModel:
    """Open a model of this layout.

    Raises:
        ConfigError: If files are missing, or the model has parts that cannot be converted.
    """
    fields = _read_fields(read_json(config.source / "config.json", "source"), config)
    if config.text_directory is None:
        raise ConfigError(
            "text_directory is not given; this layout has neither the decoder's configuration nor its tokenizer",
            hint="give a local directory with config.json and tokenizer.json of Qwen2.5-1.5B-Instruct",
        )
    tensors = open_weights(config.source / CHECKPOINT)
    tower = _tower(tensors, config)
    tensors |= tower
    # Typed as Any because transformers lets image and patch sizes be pairs, too.
    vision: Any = tower_config(
        tower,
        image_size=fields.image_size,
        num_heads=fields.num_heads,
        hidden_act="gelu",
        where="vision_directory" if config.vision_directory else CHECKPOINT,
    )
    text = read_decoder_config(config.text_directory, "text_directory")
    set_from_weights(
        text, tensors, "model.llm_backbone.llm.model.embed_tokens.weight", "model.llm_backbone.llm.lm_head.weight"
    )
    grid_size = vision.image_size // vision.patch_size
    visual_tokens = config.visual_tokens_per_image or fields.visual_tokens or grid_size**2
    processor = make_processor(
        config.text_directory,
        "text_directory",
        image_size=vision.image_size,
        visual_tokens_per_image=visual_tokens,
        num_rows=text.vocab_size,
        chat_template="open-qwen2vl" if config.chat_template == "auto" else config.chat_template,
        add_tokens=add_released_tokens,
    )
    return SourceModel(
        layout="open-qwen2vl",
        tensors=tensors,
        rules=_rules(vision, text),
        config=OqvlConfig(
            vision_config=vision,
            text_config=text,
            image_token_id=processor.image_token_id,
            visual_tokens_per_image=visual_tokens,
            projector_hidden_size=_projector_width(tensors),
            trim_vision_blocks=_TRIM_BLOCKS,
        ),
        processor=processor,
        notes=_notes(fields),
    )


def _read_fields(values: Mapping[str, Any], config: ConvertConfig) -> _Fields:
    """Check the fields of `config.json` and return what they say.

    Raises:
        ConfigError: If the model has parts that cannot be converted; the message names the field.
    """
    model = values.get("model")
    if not isinstance(model, dict):
        raise ConfigError(f"{config.source}/config.json has no table 'model', which this layout keeps its fields in")
    arch, tower_id, decoder_id, resize = (
        str(model.get(name, ""))
        for name in ("arch_specifier", "vision_backbone_id", "llm_backbone_id", "image_resize_strategy")
    )
    match = _ARCHITECTURE.fullmatch(arch)
    if match is None:
        raise refuse("arch_specifier", arch, "avgpool, N-avgpool and gelu-mlp", "a projector of other layers")
    if tower_id not in _TOWERS:
        needed = "rules for the keys of that tower; fused backbones need two towers whose features are joined"
        raise refuse("vision_backbone_id", tower_id, f"{', '.join(_TOWERS)}", needed)
    if not decoder_id.startswith("qwen2"):
        raise refuse("llm_backbone_id", decoder_id, "qwen2 and qwen2.5", "rules for the keys of that decoder")
    if resize != "resize-naive":
        raise refuse("image_resize_strategy", resize, "resize-naive", "a processor that crops or pads images")
    image_size, num_heads = _TOWERS[tower_id]
    pooled = int(match[1] or _DEFAULT_VISUAL_TOKENS) if match[2] else None
    return _Fields(
        str(model.get("model_id", "")),
        pooled,
        config.image_size or image_size,
        config.num_heads or num_heads,
        model.get("llm_max_length"),
    )


def _tower(tensors: Mapping[str, StoredTensor], config: ConvertConfig) -> dict[str, StoredTensor]:
    """Return the tower's tensors: of the checkpoint, or else of `vision_directory`, under keys that say so."""
    prefix = "model.vision_backbone."
    own = {key: tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    if own and config.vision_directory:
        raise ConfigError(
            f"vision_directory is given, but {CHECKPOINT} has a tower of its own, which was trained",
            hint="leave vision_directory out",
        )
    if own:
        return own
    if config.vision_directory is None:
        raise ConfigError(
            f"{CHECKPOINT} has no vision tower, and vision_directory is not given",
            hint="give a local directory with the weights of timm's ViT-SO400M-14-SigLIP-384",
        )
    found = open_model_directory(config.vision_directory, "vision_directory")
    return {f"vision_directory.{key}": tensor for key, tensor in found.items()}


def _rules(vision: SiglipVisionConfig, text: Qwen2Config) -> list[Rule]:
    num_kept = (vision.num_hidden_layers or 0) - _TRIM_BLOCKS
    return [
        Rule(r"model\.projector\.(?:mlp_projector|projector)\.0\.(weight|bias)", (r"projector.linear_1.\1",)),
        Rule(r"model\.projector\.(?:mlp_projector|projector)\.2\.(weight|bias)", (r"projector.linear_2.\1",)),
        *decoder_rules(r"model\.llm_backbone\.llm\.model\.", r"model\.llm_backbone\.llm\.lm_head\.weight", text),
        *tower_rules(r"model\.vision_backbone\.featurizer\.", num_kept),
        *tower_rules(r"vision_directory\.", num_kept),
        *contrastive_rules(r"vision_directory\."),
        Rule(r"optimizer\..+", reason="state of the optimizer"),
    ]


def _projector_width(tensors: Mapping[str, StoredTensor]) -> int | None:
    for name in ("mlp_projector", "projector"):
        if (key := f"model.projector.{name}.0.weight") in tensors:
            return tensors[key].shape[0]
    return None


def _notes(fields: _Fields) -> tuple[str, ...]:
    notes = [f"the source calls the model {fields.model_id}"] if fields.model_id else []
    if fields.max_length:
        notes.append(f"it was trained on sequences of up to {fields.max_length:,} tokens")
    return tuple(notes)
