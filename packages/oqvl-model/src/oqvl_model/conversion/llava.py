"""LLaVA models with a SigLIP tower and a Qwen2 decoder, in two layouts.

    llava         `LlavaForConditionalGeneration` of transformers (versions 4 and 5 name some keys differently)
    llava-qwen    `LlavaQwenForCausalLM` of LLaVA's own code: MLM-Filter, and UniFilter with a scoring head

Towers of other architectures, other decoders and other projectors are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import Qwen2Config, SiglipVisionConfig

from oqvl_model.config import ConvertConfig
from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.conversion.key_map import Rule
from oqvl_model.conversion.qwen2 import decoder_rules, set_from_weights
from oqvl_model.conversion.siglip import contrastive_rules, num_blocks, tower_config, tower_rules
from oqvl_model.conversion.source_model import SourceModel, read_json, refuse
from oqvl_model.conversion.tensor_files import StoredTensor, open_model_directory
from oqvl_model.conversion.tokenizer import make_processor
from oqvl_model.processing_oqvl import TOKENIZER_FILE, OqvlProcessor
from oqvl_shards.errors import ConfigError

_FIRST_LINEAR = ("multi_modal_projector.linear_1.weight", "mm_projector.0.weight", "mlp_projector.0.weight")
_POOLED_TOKENS = 144
_TOWER_IMAGE_SIZE, _TOWER_HEADS = 384, 16


def open_llava(config: ConvertConfig) -> SourceModel:
    """Open a directory that transformers has saved a `LlavaForConditionalGeneration` in.

    Raises:
        ConfigError: If files are missing, or the model has parts that cannot be converted.
    """
    values = read_json(config.source / "config.json", "source")
    # Typed as Any because transformers lets image and patch sizes be pairs, too.
    vision: Any = _checked_vision(values)
    text = Qwen2Config(**values["text_config"])
    tensors = open_model_directory(config.source, "source")
    embedding, head = _decoder_keys(tensors)
    set_from_weights(text, tensors, embedding, head)
    trim = _trimmed_blocks(values.get("vision_feature_layer", -2), vision.num_hidden_layers or 0)
    grid_size = vision.image_size // vision.patch_size
    image_id = values.get("image_token_id", values.get("image_token_index"))
    processor = _processor(config, vision, text, grid_size**2, image_token=_token_of_id(config, image_id))
    num_kept = (vision.num_hidden_layers or 0) - trim
    rules = [
        Rule(r"(?:model\.)?multi_modal_projector\.(linear_[12])\.(weight|bias)", (r"projector.\1.\2",)),
        *tower_rules(r"(?:model\.)?vision_tower\.", num_kept),
        *decoder_rules(
            r"(?:language_model\.model\.|model\.language_model\.)", r"(?:language_model\.)?lm_head\.weight", text
        ),
    ]
    return SourceModel("llava", tensors, rules, _config(vision, text, processor, tensors, trim), processor)


def open_llava_qwen(config: ConvertConfig) -> SourceModel:
    """Open a directory that LLaVA's own code has saved a `LlavaQwenForCausalLM` in.

    The image placeholder is not a token of such a model, so it is added to the tokenizer. Without a tower among the
    weights, `vision_directory` gives it.

    Raises:
        ConfigError: If files are missing, or the model has parts that cannot be converted.
    """
    values = read_json(config.source / "config.json", "source")
    tower_name = str(values.get("mm_vision_tower", ""))
    if "siglip" not in tower_name.lower():
        raise refuse("mm_vision_tower", tower_name, "SigLIP", "rules for the keys of that tower")
    tensors = open_model_directory(config.source, "source")
    tower = {key: tensor for key, tensor in tensors.items() if key.startswith("model.vision_tower.")}
    if not tower and config.vision_directory:
        found = open_model_directory(config.vision_directory, "vision_directory")
        tower = {f"vision_directory.{key}": tensor for key, tensor in found.items()}
        tensors |= tower
    vision: Any = tower_config(
        tower,
        image_size=config.image_size or _TOWER_IMAGE_SIZE,
        num_heads=config.num_heads or _TOWER_HEADS,
        hidden_act="gelu_pytorch_tanh",
        where="source",
    )
    text = Qwen2Config(**{key: value for key, value in values.items() if key != "model_type"})
    set_from_weights(text, tensors, "model.embed_tokens.weight", "lm_head.weight")
    is_pooled = "model.mm_projector.mlp_projector.0.weight" in tensors
    grid_size = vision.image_size // vision.patch_size
    processor = _processor(config, vision, text, _POOLED_TOKENS if is_pooled else grid_size**2)
    # LLaVA's SigLIP tower has lost its last block before it was saved. A whole tower is a fresh one.
    trim = int("vision_directory" in next(iter(tower), ""))
    rules = [
        Rule(r"model\.mm_projector\.(?:mlp_projector\.)?0\.(weight|bias)", (r"projector.linear_1.\1",)),
        Rule(r"model\.mm_projector\.(?:mlp_projector\.)?2\.(weight|bias)", (r"projector.linear_2.\1",)),
        Rule(r"score\..+", reason="a head that scores samples; the model generates text"),
        Rule(r"model\.image_newline", reason="ends rows in images of several tiles, which the model does not have"),
        *tower_rules(r"(?:model\.vision_tower\.vision_tower|vision_directory)\.", num_blocks(tower) - trim),
        *contrastive_rules(r"vision_directory\."),
        *decoder_rules(r"model\.", r"lm_head\.weight", text),
    ]
    return SourceModel("llava-qwen", tensors, rules, _config(vision, text, processor, tensors, trim), processor)


def _checked_vision(values: Mapping[str, Any]) -> SiglipVisionConfig:
    """Return the tower's configuration; raise `ConfigError` for whatever cannot be converted, by the field's name."""
    vision, text = values.get("vision_config") or {}, values.get("text_config") or {}
    if vision.get("model_type") != SiglipVisionConfig.model_type:
        needed = "rules for the keys of CLIP: a class token, a norm before the blocks and QuickGELU"
        raise refuse("vision_config.model_type", vision.get("model_type"), SiglipVisionConfig.model_type, needed)
    if text.get("model_type") != Qwen2Config.model_type:
        raise refuse(
            "text_config.model_type",
            text.get("model_type"),
            Qwen2Config.model_type,
            "rules for the keys of that decoder",
        )
    for field, supported, needed in [
        ("vision_feature_select_strategy", "full", "a tower with a class token"),
        ("projector_hidden_act", "gelu", "a projector with that activation"),
        ("multimodal_projector_bias", True, "a projector without biases"),
    ]:
        default = "default" if field == "vision_feature_select_strategy" else supported
        if (found := values.get(field, default)) != supported:
            raise refuse(field, found, repr(supported), needed)
    return SiglipVisionConfig(**vision)


def _trimmed_blocks(layer: object, num_blocks: int) -> int:
    """Return how many final blocks are left out; a positive layer counts the embeddings as layer 0."""
    if not isinstance(layer, int) or not -num_blocks <= layer <= num_blocks or layer == 0:
        needed = "features of several layers"
        raise refuse("vision_feature_layer", layer, f"one layer from {-num_blocks} to {num_blocks}", needed)
    return -1 - layer if layer < 0 else num_blocks - layer


def _decoder_keys(tensors: Mapping[str, StoredTensor]) -> tuple[str, str]:
    """Return the keys of the embedding and the head, as transformers 5 or 4 names them."""
    if "model.language_model.embed_tokens.weight" in tensors:
        return "model.language_model.embed_tokens.weight", "lm_head.weight"
    return "language_model.model.embed_tokens.weight", "language_model.lm_head.weight"


def _token_of_id(config: ConvertConfig, token_id: object) -> str:
    """Return the spelling of the image placeholder, whose id the configuration states."""
    path = (config.text_directory or config.source) / TOKENIZER_FILE
    added = {token.get("id"): token.get("content") for token in read_json(path, "source").get("added_tokens", [])}
    if token_id not in added:
        raise ConfigError(f"{path} has no added token with the id {token_id} of the image placeholder")
    return added[token_id]


def _processor(config: ConvertConfig, vision: Any, text: Qwen2Config, num_tokens: int, **tokens: Any) -> OqvlProcessor:
    directory: Path = config.text_directory or config.source
    tokenizer_config = directory / "tokenizer_config.json"
    stated = read_json(tokenizer_config, "source") if tokenizer_config.is_file() else {}
    pad_token = stated.get("pad_token")
    return make_processor(
        directory,
        "text_directory" if config.text_directory else "source",
        image_size=vision.image_size,
        visual_tokens_per_image=config.visual_tokens_per_image or num_tokens,
        num_rows=text.vocab_size,
        chat_template="chatml" if config.chat_template == "auto" else config.chat_template,
        bos_token="",
        pad_token=pad_token if isinstance(pad_token, str) else "<|pad|>",
        **tokens,
    )


def _config(
    vision: SiglipVisionConfig,
    text: Qwen2Config,
    processor: OqvlProcessor,
    tensors: Mapping[str, StoredTensor],
    trim: int,
) -> OqvlConfig:
    width = next(
        (tensors[key].shape[0] for key in tensors if key.endswith(_FIRST_LINEAR)),
        None,
    )
    return OqvlConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=processor.image_token_id,
        visual_tokens_per_image=processor.config.visual_tokens_per_image,
        projector_hidden_size=width,
        trim_vision_blocks=trim,
    )
