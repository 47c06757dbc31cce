from __future__ import annotations

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

import oqvl_model
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor


def test_the_auto_classes_know_the_model(checkpoint):
    oqvl_model.register()
    oqvl_model.register()
    assert isinstance(AutoConfig.from_pretrained(checkpoint), oqvl_model.OqvlConfig)
    assert isinstance(AutoModelForImageTextToText.from_pretrained(checkpoint), OqvlForConditionalGeneration)
    assert isinstance(AutoProcessor.from_pretrained(checkpoint), OqvlProcessor)
