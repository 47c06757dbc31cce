"""Make the model known to transformers' auto classes."""

from __future__ import annotations

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor


def register() -> None:
    """Register the model with `AutoConfig`, `AutoModelForImageTextToText` and `AutoProcessor`.

    Calling it twice is harmless. It is a function because importing this package must not change transformers.
    """
    AutoConfig.register(OqvlConfig.model_type, OqvlConfig, exist_ok=True)
    AutoModelForImageTextToText.register(OqvlConfig, OqvlForConditionalGeneration, exist_ok=True)
    AutoProcessor.register(OqvlConfig, OqvlProcessor, exist_ok=True)
