from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from oqvl_eval.answerer import Answerer
from oqvl_shards.binding import protocol_members


@pytest.fixture
def answerers(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return importlib.import_module("colour_answerer")


def test_an_answerer_generates_and_scores_choices(answerers, checkpoint):
    assert protocol_members(Answerer) == ["choice_logprobs", "generate"]
    assert isinstance(answerers.ColourAnswerer(checkpoint.path), Answerer)
    assert not isinstance(answerers.HalfAnswerer(checkpoint.path), Answerer)


@pytest.mark.parametrize("method", ["choice_logprobs", "generate"])
def test_the_answerers_of_these_tests_take_what_the_protocol_declares(answerers, method):
    declared = inspect.signature(getattr(Answerer, method)).parameters
    for answerer in (answerers.ColourAnswerer, answerers.AlwaysA):
        parameters = inspect.signature(getattr(answerer, method)).parameters
        assert {name: one.kind for name, one in parameters.items()} == {
            name: one.kind for name, one in declared.items()
        }
