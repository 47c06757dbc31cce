from __future__ import annotations

import pytest

from oqvl_eval.profiles.markers import NeedsJudge
from oqvl_eval.profiles.vlmevalkit import pope


def test_read_yes_no_answers(check):
    check(pope.read_yes_no)


def test_summarize_answers(check):
    check(pope.summarize)


def test_credit():
    assert pope.credit("Yes!", "Yes") == 1.0
    assert pope.credit("yes or no", "Yes") == 0.0
    assert pope.credit("yes or no", "Yes", has_judge=True) == NeedsJudge()


def test_an_item_counts_once_per_split():
    figures = pope.summarize([("yes", "Yes", "popular,random"), ("no", "Yes", "random")])
    assert figures["Overall"]["accuracy"] == pytest.approx(200 / 3)
    assert figures["random"]["accuracy"] == 50.0
