from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from oqvl_filter.config import (
    AestheticScorerConfig,
    ClipScorerConfig,
    ImageScorerConfig,
    MlmScorerConfig,
    RulesScorerConfig,
    SiglipScorerConfig,
    TextScorerConfig,
)
from oqvl_filter.scoring import make_scorer
from oqvl_shards.sample import ReadLimits


def test_each_configuration_makes_its_scorer(tiny_clip: str, tmp_path: Path):
    head = tmp_path / "head.safetensors"
    save_file({"weight": np.zeros((1, 16), np.float32), "bias": np.zeros(1, np.float32)}, head)
    (tmp_path / "model").mkdir()
    model = str(tmp_path / "model")
    for config in (
        RulesScorerConfig(),
        TextScorerConfig(name="text"),
        ImageScorerConfig(name="image"),
        ClipScorerConfig(name="clip", model=tiny_clip),
        SiglipScorerConfig(name="siglip", model=model),
        AestheticScorerConfig(name="aesthetic", model=tiny_clip, head=head),
        MlmScorerConfig(name="mlm", options={"model": model}),
    ):
        scorer = make_scorer(config, ReadLimits())
        assert scorer.name == config.name
        assert set(scorer.counted.values()) <= {column.name for column in scorer.columns}
        assert len(scorer.fingerprint()) == 64


def test_word_lists_belong_together(tmp_path: Path):
    with pytest.raises(ValidationError, match="give both or none"):
        TextScorerConfig(name="text", wordnet=tmp_path)


def test_rules_need_no_torch():
    code = """
import sys
from oqvl_filter.config import RulesScorerConfig
from oqvl_filter.scoring import make_scorer
from oqvl_shards.sample import ReadLimits
make_scorer(RulesScorerConfig(), ReadLimits())
assert not {"torch", "open_clip", "timm"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
