from __future__ import annotations

from pathlib import Path

import pytest

from oqvl_eval.answerer import Answerer, bind_answerer
from oqvl_shards.errors import ConfigError


@pytest.fixture(autouse=True)
def _tests_are_importable(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


def test_a_factory_is_called_with_checkpoint_and_options(checkpoint):
    answerer = bind_answerer("colour_answerer:ColourAnswerer", checkpoint.path, {"blind_to": ["blue"]})
    assert isinstance(answerer, Answerer)
    assert vars(answerer) == {"blind_to": ["blue"]}


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("colour_answerer.ColourAnswerer", {}, "is not a dotted path"),
        (":ColourAnswerer", {}, "is not a dotted path"),
        ("no_such_module:Answerer", {}, "cannot be imported: No module named 'no_such_module'"),
        ("colour_answerer:Missing", {}, "colour_answerer has no callable 'Missing'"),
        ("colour_answerer:COLOURS", {}, "has no callable 'COLOURS'"),
        ("colour_answerer:ColourAnswerer", {"colour": 1}, r"does not take the options \['colour'\]"),
        ("colour_answerer:HalfAnswerer", {}, "made a HalfAnswerer, which lacks generate or choice_logprobs"),
    ],
)
def test_what_cannot_be_bound_is_named(checkpoint, path, options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        bind_answerer(path, checkpoint.path, options)
    assert path in caught.value.message
