from __future__ import annotations

from oqvl_eval.profiles.official import mtvqa


def test_credit_answers(check):
    check(mtvqa.credit)


def test_summarize_answers(check):
    check(mtvqa.summarize)


def test_a_gold_with_a_period_is_never_found():
    assert mtvqa.credit("It is 3.5", "3.5") == 0.0
    assert mtvqa.credit("It is 35", ["x", "35"]) == 1.0
