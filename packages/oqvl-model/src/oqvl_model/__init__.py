"""The Open-Qwen2VL architecture as a transformers model: vision tower, projector, Qwen2 decoder, packed forward.

Importing this package is cheap: torch and transformers are imported when a name that needs them is first used. Call
`oqvl_model.register()` once to make the model known to transformers' auto classes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oqvl_model.answerer import VlmAnswerer
    from oqvl_model.configuration_oqvl import OqvlConfig, TimmTowerConfig
    from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
    from oqvl_model.processing_oqvl import OqvlProcessor
    from oqvl_model.registration import register
    from oqvl_model.trainee import PackedTrainee

_MODULE_OF = {
    "OqvlConfig": "configuration_oqvl",
    "OqvlForConditionalGeneration": "modeling_oqvl",
    "OqvlProcessor": "processing_oqvl",
    "PackedTrainee": "trainee",
    "TimmTowerConfig": "configuration_oqvl",
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
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
