"""The Open-Qwen2VL architecture as a transformers model: vision tower, projector, Qwen2 decoder, packed forward.

Importing this package is cheap; torch and transformers come with the first name that needs them. Call
`oqvl_model.register()` once to make transformers' auto classes know the model.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oqvl_model.answerer import VlmAnswerer
    from oqvl_model.configuration import OqvlConfig, TimmTowerConfig
    from oqvl_model.modeling import OqvlForConditionalGeneration
    from oqvl_model.processing import OqvlProcessor
    from oqvl_model.registration import register
    from oqvl_model.trainee import PackedTrainee

_MODULES = {
    "OqvlConfig": "configuration",
    "OqvlForConditionalGeneration": "modeling",
    "OqvlProcessor": "processing",
    "PackedTrainee": "trainee",
    "TimmTowerConfig": "configuration",
    "VlmAnswerer": "answerer",
    "register": "registration",
}

__all__ = [
    "OqvlConfig",
    "OqvlForConditionalGeneration",
    "OqvlProcessor",
    "PackedTrainee",
    "TimmTowerConfig",
    "VlmAnswerer",
    "register",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
