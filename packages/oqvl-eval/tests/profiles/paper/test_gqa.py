from __future__ import annotations

from oqvl_eval.profiles.paper import gqa


def test_credit_answers(check):
    check(gqa.credit)


def test_a_gold_with_a_hyphen_is_never_right():
    assert gqa.prepare("T-shirt.") == "tshirt"
    assert gqa.credit("t-shirt", "t-shirt") == 0.0
