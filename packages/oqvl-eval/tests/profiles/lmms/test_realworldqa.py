from __future__ import annotations

from oqvl_eval.profiles.lmms import realworldqa


def test_credit_answers(check):
    check(realworldqa.credit)


def test_a_gold_that_is_no_letter_must_be_the_whole_answer():
    assert realworldqa.credit("Downhill.", "downhill") == 1.0
    assert realworldqa.credit("It goes downhill", "downhill") == 0.0
    assert realworldqa.credit("The answer is (B).", " b") == 1.0
