"""The Open-Qwen2VL architecture as a transformers model: vision tower, projector, decoder, packed forward.

Importing this package is cheap: torch and transformers are imported when a name that needs them is first used. Call
`oqvl_model.register()` once to make the model known to transformers' auto classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oqvl_shards.lazy_names import lazy_names

if TYPE_CHECKING:
    from oqvl_model.answerer import VlmAnswerer
    from oqvl_model.configuration_oqvl import OqvlConfig, TimmTowerConfig
    from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
    from oqvl_model.processing_oqvl import OqvlProcessor
    from oqvl_model.registration import register
    from oqvl_model.trainee import PackedTrainee

__all__ = [
    "OqvlConfig",
    "OqvlForConditionalGeneration",
    "OqvlProcessor",
    "PackedTrainee",
    "TimmTowerConfig",
    "VlmAnswerer",
    "register",
]

__getattr__ = lazy_names(__name__, __file__)
