from __future__ import annotations

from oqvl_eval.profiles.official import vqa


def test_normalize_answers(check):
    check(vqa.normalize)


def test_credit_answers(check):
    check(vqa.credit)


def test_four_of_ten_people_make_an_answer_fully_right():
    assert vqa.credit("The cat", ["cat"] * 4 + ["dog"] * 6) == 1.0
    assert vqa.credit("cat", ["cat"] + ["dog"] * 9) == 0.3
