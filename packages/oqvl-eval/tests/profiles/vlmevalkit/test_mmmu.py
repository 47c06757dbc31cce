from __future__ import annotations

from oqvl_eval.profiles.vlmevalkit import mmmu


def test_credit_answers(check):
    check(mmmu.credit)


def test_an_open_item_becomes_a_choice_of_two():
    assert mmmu.restate_open("12 cm") == ({"A": "12 cm", "B": "Other Answers"}, "A")
    assert mmmu.credit("It is 12 cm", None, "12 cm") == 1.0
    assert mmmu.credit("A", None, "12 cm") == 1.0
    assert mmmu.credit("other answers", None, "B") == 1.0
