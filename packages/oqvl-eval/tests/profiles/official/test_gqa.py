from __future__ import annotations

from oqvl_eval.profiles.official import gqa


def test_credit_answers(check):
    check(gqa.credit)


def test_periods_at_the_end_and_case_are_ignored():
    assert gqa.prepare("Red..") == "red"
    assert gqa.credit(" red", "red") == 0.0
