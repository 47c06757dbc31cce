from __future__ import annotations

import subprocess
import sys

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from oqvl_model.configuration_oqvl import OqvlConfig
from oqvl_model.modeling_oqvl import OqvlForConditionalGeneration
from oqvl_model.processing_oqvl import OqvlProcessor
from oqvl_model.registration import register


def test_the_auto_classes_know_the_model(checkpoint):
    register()
    register()
    assert isinstance(AutoConfig.from_pretrained(checkpoint), OqvlConfig)
    assert isinstance(AutoModelForImageTextToText.from_pretrained(checkpoint), OqvlForConditionalGeneration)
    assert isinstance(AutoProcessor.from_pretrained(checkpoint), OqvlProcessor)


def test_importing_the_module_registers_nothing():
    code = """
import oqvl_model.registration
from transformers import CONFIG_MAPPING
print("oqvl" in CONFIG_MAPPING, end=" ")
oqvl_model.registration.register()
print("oqvl" in CONFIG_MAPPING)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False True\n"
