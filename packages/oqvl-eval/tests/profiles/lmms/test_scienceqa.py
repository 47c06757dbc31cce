from __future__ import annotations

from oqvl_eval.profiles.lmms import scienceqa


def test_credit_answers(check):
    check(scienceqa.credit)


def test_a_letter_before_a_period_must_be_a_capital():
    assert scienceqa.credit("b", 1) == 1.0
    assert scienceqa.credit("B. cat", 1) == 1.0
    assert scienceqa.credit("b. cat", 1) == 0.0
