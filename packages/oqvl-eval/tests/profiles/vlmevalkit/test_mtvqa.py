from __future__ import annotations

from oqvl_eval.profiles.vlmevalkit import mtvqa


def test_credit_answers(check):
    check(mtvqa.credit)


def test_summarize_answers(check):
    check(mtvqa.summarize)


def test_the_average_is_over_answers():
    assert mtvqa.summarize({"AR": [1.0], "DE": [0.0, 0.0, 0.0]}) == {"AR": 100.0, "DE": 0.0, "Average": 25.0}
