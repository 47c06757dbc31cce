from __future__ import annotations

from oqvl_eval.profiles.lmms import gqa


def test_credit_answers(check):
    check(gqa.credit)


def test_case_and_punctuation_are_ignored():
    assert gqa.credit("T-shirt.", "t shirt") == 0.0
    assert gqa.credit("T-shirt.", "t-shirt") == 1.0
