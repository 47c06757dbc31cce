from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save_file

from oqvl_filter import run
from oqvl_filter.config import (
    AestheticScorerConfig,
    ClipScorerConfig,
    CustomScorerConfig,
    ImageScorerConfig,
    MlmScorerConfig,
    RulesScorerConfig,
    ScoreConfig,
    SiglipScorerConfig,
    TextScorerConfig,
)
from oqvl_filter.pool import PoolSample
from oqvl_filter.score_file import read_table
from oqvl_filter.scorers.scorer import Row
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import FieldSpec
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits

FIRST_DIGIT = f"{__name__}:FirstDigitScorer"


class NoDigit(StrEnum):
    NO_DIGIT = "no_digit"


class FirstDigitScorer:
    """The first digit of a caption, times `factor`."""

    name: str = "first_digit"
    columns: tuple[FieldSpec, ...] = (FieldSpec(name="digit", dtype="int64", description="of the caption"),)
    counted: Mapping[str, str] = {}

    def __init__(self, factor: int = 1) -> None:
        self.factor = factor

    def fingerprint(self) -> str:
        return hashlib.sha256(f"first_digit {self.factor}".encode()).hexdigest()

    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> Sequence[Row | str]:
        return [sample.reject or self._score(reader.text(sample.sample)) for sample in samples]

    def _score(self, caption: str) -> Row | str:
        digits = [character for character in caption if character.isdigit()]
        return {"digit": self.factor * int(digits[0])} if digits else NoDigit.NO_DIGIT


class OneForAll(FirstDigitScorer):
    def score_shard(self, reader: ShardReader, samples: Sequence[PoolSample]) -> Sequence[Row | str]:
        return [{"digit": 1}]


class WordsForDigits(FirstDigitScorer):
    def _score(self, caption: str) -> Row | str:
        return {"digit": caption}


class NamedAsTheKey(FirstDigitScorer):
    columns = (FieldSpec(name="key", dtype="string"),)


class WithoutSha(FirstDigitScorer):
    def fingerprint(self) -> str:
        return "version 1"


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
        scorer = config.build(ReadLimits())
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
from oqvl_shards.tar.sample import ReadLimits
RulesScorerConfig().build(ReadLimits())
assert not {"torch", "open_clip", "timm"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_scorer_of_ones_own_is_bound_by_its_dotted_path(make_pool, plain_pairs, pair, picture, tmp_path: Path):
    pool = make_pool([plain_pairs(2, start=7), [*plain_pairs(1, start=3), pair("no", picture(), "no digit")]]).path
    overrides = [f"pool={pool}", f"output={tmp_path / 'scores'}", "scorer.name=custom"]
    overrides += [f"scorer.factory={FIRST_DIGIT}", "scorer.options.factor=2"]
    report = run.score(ScoreConfig.from_command_line(None, overrides))
    manifest = open_dataset(report.path).manifest
    tables = [read_table(report.path / shard.path) for shard in manifest.shards]
    assert [table["digit"].to_pylist() for table in tables] == [[14, 16], [6, None]]
    assert report.account.rejected == {"no_digit": 1}
    assert (report.scorer, report.fingerprint) == ("first_digit", FirstDigitScorer(2).fingerprint())
    assert manifest.lineage.config["fingerprint"] == report.fingerprint
    assert __name__ not in str(manifest.lineage), "where a scorer lies does not decide the scores"
    with pytest.raises(ConfigError, match="fingerprint"):
        run.score(ScoreConfig.from_command_line(None, [*overrides[:-1], "scorer.options.factor=3"]))


@pytest.mark.parametrize(
    ("factory", "options", "problem"),
    [
        ("nowhere:Scorer", {}, "scorer.factory='nowhere:Scorer': there is no module nowhere"),
        (FIRST_DIGIT, {"speed": 3}, r"does not take the options \['speed'\]"),
        (f"{__name__}:NoDigit", {"value": "no_digit"}, "makes a NoDigit without columns, counted, fingerprint, score_"),
    ],
)
def test_what_is_no_scorer_is_refused(factory: str, options: dict[str, Any], problem: str):
    with pytest.raises(ConfigError, match=problem):
        CustomScorerConfig(name="custom", factory=factory, options=options).build(ReadLimits())


@pytest.mark.parametrize(
    ("scorer", "problem"),
    [
        (OneForAll, "gave 1 results, expected one for each of 2 samples"),
        (WordsForDigits, "column 'digit' cannot be of type int64"),
        (NamedAsTheKey, "gives a column 'key'"),
        (WithoutSha, "fingerprint of the scorer first_digit is 'version 1', expected a sha256"),
    ],
)
def test_a_scorer_that_breaks_its_word_is_told(make_pool, plain_pairs, tmp_path, scorer: type, problem: str):
    config = CustomScorerConfig(name="custom", factory=f"{__name__}:{scorer.__name__}")
    with pytest.raises(ConfigError, match=problem):
        run.score(ScoreConfig(pool=make_pool([plain_pairs(2)]).path, output=tmp_path / "scores", scorer=config))
