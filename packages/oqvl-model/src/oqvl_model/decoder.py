"""The decoders that a model can have, and those that are refused by name because packs could not keep documents apart.

transformers builds a decoder from its `model_type`. The list is closed on purpose: a decoder is on it if the tests show
that its packs equal its documents one by one. Another decoder might ignore `cu_seqlens`, which would silently let
documents see each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

from oqvl_shards.errors import ConfigError

DECODERS = ("gemma", "gemma2", "gemma3_text", "llama", "mistral", "qwen2", "qwen3", "smollm3")
"""The `model_type` of every decoder that is tested."""

_REASONS = {
    "gemma3": "it has a vision tower of its own; take a text checkpoint (model_type gemma3_text)",
    "gemma3n": "it embeds per layer, and image tokens have no such embeddings; take a gemma3_text checkpoint",
    "granite": "it multiplies its input embeddings, image tokens included, inside the decoder",
    "qwen3_next": "its linear-attention layers carry state from one document of a pack to the next",
    "qwen3_5_text": "its linear-attention layers carry state from one document of a pack to the next",
}

_ROPE_OF_THE_LONGEST = ("dynamic", "longrope")
"""Kinds of rotary embedding whose frequencies follow the longest document of a row."""


def decoder_config(values: Mapping[str, Any] | PreTrainedConfig | None) -> PreTrainedConfig:
    """Return the decoder's configuration that `values` describes; without `model_type` it is a Qwen2.

    Raises:
        ConfigError: If packs could not keep the decoder's documents apart; see `check_decoder`.
    """
    if not isinstance(values, PreTrainedConfig):
        fields = dict(values or {})
        model_type = fields.pop("model_type", Qwen2Config.model_type)
        _check_model_type(model_type)
        values = CONFIG_MAPPING[model_type](**fields)
    check_decoder(values)
    return values


def read_decoder_config(directory: Path) -> PreTrainedConfig:
    """Read the decoder's configuration from a local model directory.

    Raises:
        ConfigError: If the decoder is not one of `DECODERS`, or `check_decoder` refuses it.
    """
    values, _ = PreTrainedConfig.get_config_dict(directory)
    _check_model_type(values.get("model_type"))
    # AutoConfig.from_pretrained would also store the directory's path in the configuration.
    config = CONFIG_MAPPING[values["model_type"]].from_pretrained(directory)
    check_decoder(config)
    return config


def check_decoder(config: PreTrainedConfig) -> None:
    """Raise `ConfigError` unless packs of this decoder equal its documents one by one."""
    _check_model_type(config.model_type)
    rope = getattr(config, "rope_parameters", None) or {}
    # Some decoders have one rotary embedding for all layers, others one per layer type.
    per_layer_type = [value for value in rope.values() if isinstance(value, dict)]
    rope_types = {parameters.get("rope_type") for parameters in [rope, *per_layer_type]}
    layer_types = set(getattr(config, "layer_types", None) or ())
    problems = {
        "attention soft-capping (attn_logit_softcapping), which no packed attention kernel computes": getattr(
            config, "attn_logit_softcapping", None
        )
        is not None,
        "attention in both directions (use_bidirectional_attention)": bool(
            getattr(config, "use_bidirectional_attention", False)
        ),
        f"a rotary embedding of type {' or '.join(_ROPE_OF_THE_LONGEST)}, which depends on the longest document of a "
        "pack": bool(rope_types & set(_ROPE_OF_THE_LONGEST)),
        f"layers of type {sorted(layer_types - {'full_attention', 'sliding_attention'})}": bool(
            layer_types - {"full_attention", "sliding_attention"}
        ),
    }
    for problem, is_present in problems.items():
        if is_present:
            raise ConfigError(
                f"the decoder {config.model_type!r} has {problem}",
                hint="take a decoder without it; docs/towers-and-decoders.md lists those that are tested",
            )


def layer_windows(config: PreTrainedConfig) -> tuple[int | None, ...]:
    """Return for each layer how many tokens a token attends to at most, itself included; None means all before it."""
    window = getattr(config, "sliding_window", None)
    layer_types = getattr(config, "layer_types", None)
    if layer_types is None:
        return (window,) * config.num_hidden_layers
    return tuple(window if layer_type == "sliding_attention" else None for layer_type in layer_types)


def build_decoder(config: PreTrainedConfig) -> Any:
    """Build the decoder with its head, with fresh weights. It keeps `config` itself and not a copy."""
    decoder_class: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return decoder_class(config)


def load_decoder(text: PreTrainedModel, directory: Path) -> None:
    """Copy the weights of a local model directory into `text`.

    If `text` has more embedding rows than the source, the rows at the end keep their fresh weights.

    Raises:
        ConfigError: If the directory lacks weights of the decoder.
    """
    source, loading = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    check_nothing_is_missing(loading["missing_keys"], directory)
    tables = {
        f"{name}.weight"
        for name, module in source.named_modules()
        if module in (source.get_input_embeddings(), source.get_output_embeddings())
    }
    state, target = source.state_dict(), text.state_dict()
    for table in tables:
        rows = min(len(state[table]), len(target[table]))
        target[table][:rows] = state.pop(table)[:rows]
    text.load_state_dict(state, strict=False)


def check_nothing_is_missing(missing: Any, directory: Path) -> None:
    """Raise `ConfigError` if a model directory lacks weights, which transformers would leave at random values."""
    if missing:
        raise ConfigError(
            f"{directory} lacks {len(missing)} weights, for example {min(missing)}",
            hint="the weights must be those of the model that config.json describes",
        )


def _check_model_type(model_type: str | None) -> None:
    if model_type in DECODERS:
        return
    reason = _REASONS.get(model_type or "", "its packs are not tested against single documents")
    raise ConfigError(
        f"the decoder's model_type is {model_type!r}, expected one of {list(DECODERS)}: {reason}",
        hint="docs/towers-and-decoders.md says how to add a decoder",
    )
