from __future__ import annotations

import pytest

from oqvl_filter.config import MlmScorerConfig
from oqvl_filter.scorers.judges.endpoint import EndpointJudge
from oqvl_filter.scorers.judges.judge import Answer
from oqvl_shards.errors import ConfigError
from oqvl_shards.tar.sample import ReadLimits

ENDPOINT = "oqvl_filter.scorers.judges.endpoint:EndpointJudge"


def build(judge: str, **options: str):
    return MlmScorerConfig(name="mlm", judge=judge, options=options).build(ReadLimits())


class Mute:
    """A judge that cannot be asked anything."""

    def fingerprint(self) -> str:
        return "0" * 64


def test_a_judge_is_bound_by_its_dotted_path():
    assert isinstance(build(ENDPOINT, url="http://localhost:1/v1", model="m").judge, EndpointJudge)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nowhere:Judge", "there is no module nowhere"),
        ("oqvl_filter.scorers.judges.judge:Nobody", "has no attribute 'Nobody'"),
        ("oqvl_filter.scorers.judges.judge", "is not a dotted path"),
        ("", "is not a dotted path"),
        (f"{__name__}:Mute", "makes a Mute without answer"),
    ],
)
def test_what_is_no_judge_is_refused(path: str, problem: str):
    with pytest.raises(ConfigError, match=problem) as error:
        build(path)
    assert "scorer.judge=" in error.value.message


def test_options_that_do_not_fit_are_named():
    with pytest.raises(ConfigError, match="does not take") as error:
        build(ENDPOINT, address="x")
    assert "scorer.options.NAME=VALUE" in error.value.hint


def test_an_answer_is_whole_and_not_refused_unless_said_otherwise():
    answer = Answer("85")
    assert answer.is_whole and answer.refusal is None and answer.first_tokens == {}
