from __future__ import annotations

import subprocess
import sys

from oqvl_filter.config import ClipScorerConfig, RulesScorerConfig
from oqvl_filter.scoring import make_scorer
from oqvl_shards.sample import ReadLimits


def test_each_configuration_makes_its_scorer(tiny_clip: str):
    for config in (RulesScorerConfig(), ClipScorerConfig(name="clip", model=tiny_clip)):
        scorer = make_scorer(config, ReadLimits())
        assert scorer.name == config.name
        assert set(scorer.counted.values()) <= {column.name for column in scorer.columns}
        assert len(scorer.fingerprint()) == 64


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
