"""The smallest decoder and tower of every family, as dicts for `OqvlConfig`. Tests import this module."""

from __future__ import annotations

from typing import Any

WINDOW = 5
"""Tokens of a sliding window: fewer than most documents of the tests have."""

_TEXT: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
    "tie_word_embeddings": True,
}
_ALTERNATING = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}

DECODERS: dict[str, dict[str, Any]] = {
    "qwen2": _TEXT | {"model_type": "qwen2"},
    "qwen2 with windows": _TEXT
    | {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "qwen3": _TEXT | {"model_type": "qwen3", "head_dim": 16},
    "llama": _TEXT | {"model_type": "llama", "tie_word_embeddings": False},
    "smollm3": _TEXT | {"model_type": "smollm3", "no_rope_layer_interval": 2},
    "mistral": _TEXT | {"model_type": "mistral", "sliding_window": WINDOW, "tie_word_embeddings": False},
    "gemma": _TEXT | {"model_type": "gemma", "head_dim": 16, "num_key_value_heads": 1},
    "gemma2": _TEXT
    | {"model_type": "gemma2", "head_dim": 16, "query_pre_attn_scalar": 16, "attn_logit_softcapping": None}
    | _ALTERNATING,
    "gemma3_text": _TEXT | {"model_type": "gemma3_text", "head_dim": 16, "query_pre_attn_scalar": 16} | _ALTERNATING,
}
WINDOWED = [name for name, text in DECODERS.items() if text.get("sliding_window")]

_VISION: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 24,
    "patch_size": 6,
}

TOWERS: dict[str, dict[str, Any]] = {
    "siglip": _VISION | {"model_type": "siglip_vision_model", "intermediate_size": 24, "hidden_act": "gelu"},
    "clip": _VISION | {"model_type": "clip_vision_model", "intermediate_size": 24},
    "dinov2": _VISION | {"model_type": "dinov2", "mlp_ratio": 2},
    "dinov2 with swiglu": _VISION | {"model_type": "dinov2", "mlp_ratio": 2, "use_swiglu_ffn": True},
    "dinov2_with_registers": _VISION
    | {"model_type": "dinov2_with_registers", "mlp_ratio": 2, "num_register_tokens": 3},
    "timm": {"model_type": "oqvl_timm_tower", "image_size": 24, "feature_stride": 8, "hidden_size": 40},
}
TRANSFORMERS = [name for name in TOWERS if name != "timm"]
