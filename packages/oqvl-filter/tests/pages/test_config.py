from __future__ import annotations

import pytest

from oqvl_filter.pages.config import CalibrateConfig, PageConfig
from oqvl_shards.errors import ConfigError


def test_another_subset_needs_one_to_be_compared_with():
    with pytest.raises(ConfigError, match="found against without subset"):
        PageConfig.from_command_line(None, ["scores.a=a", "output=o.html", "against=b"])
    PageConfig.from_command_line(None, ["scores.a=a", "output=o.html", "against=b", "subset=c"])


@pytest.mark.parametrize("config", [PageConfig, CalibrateConfig])
def test_there_is_nothing_to_show_without_scores(config: type):
    with pytest.raises(ConfigError, match="scores: is required"):
        config.from_values({"pools": "p", "output": "o.html"})
    with pytest.raises(ConfigError, match=r"scores: .*at least 1 item"):
        config.from_values({"pools": "p", "output": "o.html", "scores": {}})


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 2])
def test_the_best_are_some_and_not_all(fraction: float):
    with pytest.raises(ConfigError, match="top_fraction"):
        PageConfig.from_values({"scores": {"a": "a"}, "output": "o.html", "top_fraction": fraction})
