from __future__ import annotations

from oqvl_eval.profiles.lmms import mtvqa


def test_credit_answers(check):
    check(mtvqa.credit)


def test_summarize_answers(check):
    check(mtvqa.summarize)


def test_the_average_is_over_answers():
    assert mtvqa.summarize({"AR": [1.0], "DE": [0.0, 0.0, 0.0]}) == 25.0
    assert mtvqa.summarize({}) == 0.0


def test_periods_go_on_both_sides():
    assert mtvqa.credit("It is 3.5", 3.5) == 1.0
