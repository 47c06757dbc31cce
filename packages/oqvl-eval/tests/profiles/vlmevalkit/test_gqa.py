from __future__ import annotations

from oqvl_eval.profiles.vlmevalkit import gqa


def test_credit_answers(check):
    check(gqa.credit)


def test_punctuation_is_kept():
    assert gqa.credit(" Red", "red ") == 1.0
    assert gqa.credit("red.", "red") == 0.0
