from __future__ import annotations

import pytest

from oqvl_filter.judges.endpoint import EndpointJudge
from oqvl_filter.judges.judge import make_judge
from oqvl_shards.errors import ConfigError


def test_a_judge_is_made_by_its_dotted_path():
    judge = make_judge("oqvl_filter.judges.endpoint:EndpointJudge", {"url": "http://localhost:1/v1", "model": "m"})
    assert isinstance(judge, EndpointJudge)


@pytest.mark.parametrize("path", ["nowhere:Judge", "oqvl_filter.judges.judge:Nobody", "oqvl_filter.judges.judge", ""])
def test_a_path_that_leads_nowhere_is_named(path: str):
    with pytest.raises(ConfigError, match="cannot be imported"):
        make_judge(path, {})


def test_options_that_do_not_fit_are_named():
    with pytest.raises(ConfigError, match="does not take") as error:
        make_judge("oqvl_filter.judges.endpoint:EndpointJudge", {"address": "x"})
    assert "scorer.options.NAME=VALUE" in error.value.hint
