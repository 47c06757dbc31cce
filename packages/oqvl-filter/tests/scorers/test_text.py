from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from oqvl_filter import run
from oqvl_filter.config import RulesScorerConfig, ScoreConfig, SelectConfig, TextScorerConfig
from oqvl_filter.pool import pool_samples
from oqvl_filter.scorers.text import TextScorer, read_patterns
from oqvl_shards.errors import ConfigError
from oqvl_shards.tar.reader import ShardReader
from oqvl_shards.tar.sample import ReadLimits


class Identifier:
    """Takes captions of basic Latin letters for English."""

    def fingerprint(self) -> str:
        return "1" * 64

    def identify(self, texts):
        return [("en" if text.isascii() else "xx", 0.9) for text in texts]


@pytest.fixture
def bound(monkeypatch) -> str:
    monkeypatch.setitem(sys.modules, "own_language", SimpleNamespace(Identifier=Identifier))
    return "own_language:Identifier"


@pytest.mark.parametrize(
    ("caption", "is_boilerplate"),
    [
        ("IMG_20230401.jpg", True),
        ("DSC 00012", True),
        ("1234", True),
        ("Click to enlarge", True),
        ("untitled", True),
        ("Image not available", True),
        ("photo", True),
        ("Stock photo", True),
        ("image of a dog on a mat", False),
        ("a photo by the sea at night", False),
        ("Untitled Goose Game", False),
        ("the dog.", False),
    ],
)
def test_boilerplate_says_nothing(caption: str, is_boilerplate: bool):
    patterns, _ = read_patterns(None)
    assert any(pattern.fullmatch(caption) for pattern in patterns) is is_boilerplate


def test_captions_are_described(make_pool, pair, picture, bound: str, tmp_path: Path):
    (tmp_path / "index.noun").write_text("dog n 1 0 1 0 02084071\n")
    (tmp_path / "noun.exc").write_text("")
    (tmp_path / "synsets").write_text("n02084071")
    config = TextScorerConfig(name="text", language=bound, wordnet=tmp_path, synsets=tmp_path / "synsets")
    scorer = TextScorer(config, ReadLimits())
    pool = make_pool([[pair("a", picture(), "two dogs 22"), pair("b", None, "ein Bär"), pair("c", picture(), " ")]])
    with ShardReader(pool.path / "00000.tar") as reader:
        first, second, third = scorer.score_shard(reader, pool_samples(reader, "pool"))
    assert first == {
        "chars": 11,
        "words": 3,
        "letter_share": 7 / 11,
        "boilerplate": False,
        "thing_words": 1,
        "language": "en",
        "language_probability": 0.9,
    }
    assert not isinstance(second, str) and second["language"] == "xx"
    assert third == "empty_text"
    extra = ["language", "language_probability", "thing_words"]
    assert [column.name for column in scorer.columns] == [*list(first)[:4], *extra]


def test_what_is_not_given_is_left_out_and_changes_the_fingerprint(bound: str):
    plain, other = (TextScorer(TextScorerConfig(name="text", language=path), ReadLimits()) for path in ("", bound))
    assert [column.name for column in plain.columns] == ["chars", "words", "letter_share", "boilerplate"]
    assert plain.fingerprint() != other.fingerprint()


def test_patterns_of_ones_own_replace_the_shipped_ones(tmp_path: Path):
    (tmp_path / "own.txt").write_text("# comment\n\nnothing .*\n")
    patterns, _ = read_patterns(tmp_path / "own.txt")
    assert [pattern.pattern for pattern in patterns] == ["nothing .*"]
    (tmp_path / "own.txt").write_text("ok\n(")
    with pytest.raises(ConfigError, match=r"own.txt:2 is not a regular expression"):
        read_patterns(tmp_path / "own.txt")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_patterns(tmp_path / "none.txt")


DATACOMP_BASIC = (
    'text.language == "en" and text.words > 2 and text.chars > 5 '
    "and rules.width >= 200 and rules.height >= 200 and rules.aspect <= 3"
)


@pytest.mark.parametrize(
    ("caption", "size", "is_kept"),
    [
        ("a red dog", (200, 200), True),
        ("a red dog", (199, 400), False),
        ("a red dog", (600, 200), True),
        ("a red dog", (601, 200), False),
        ("a red dog", (200, 600), True),
        ("red dogs", (400, 400), False),
        ("a b c", (400, 400), False),
        ("a b cd", (400, 400), True),
        ("ein roter Bär", (400, 400), False),
    ],
)
def test_datacomps_basic_rule(make_pool, pair, picture, bound: str, tmp_path: Path, caption, size, is_kept):
    """The bounds of the published baseline, on either side."""
    pool = make_pool([[pair("a", picture((1, 2, 3), size), caption)]]).path
    for scorer in (TextScorerConfig(name="text", language=bound), RulesScorerConfig()):
        run.score(ScoreConfig(pool=pool, output=tmp_path / scorer.name, scorer=scorer))
    scores = {"text": (tmp_path / "text",), "rules": (tmp_path / "rules",)}
    config = SelectConfig.model_validate(
        {"pools": (pool,), "scores": scores, "output": tmp_path / "subset", "keep": DATACOMP_BASIC}
    )
    assert run.select(config).account.num_kept == is_kept
