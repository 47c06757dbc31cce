from __future__ import annotations

from oqvl_eval.profiles.markers import NeedsJudge
from oqvl_eval.profiles.vlmevalkit import mathvista


def test_is_right_answers(check):
    check(mathvista.is_right)


def test_credit_answers(check):
    check(mathvista.credit)


def test_zero_goes_to_the_judge_although_it_is_right():
    assert mathvista.first_pass("0", None, "free_form", "integer", "0") == NeedsJudge()
    assert mathvista.first_pass("3", None, "free_form", "integer", "3") == 3
    assert mathvista.is_right("0", None, "free_form", "integer", "0")


def test_a_list_is_never_compared():
    assert not mathvista.is_right("[1, 2]", None, "free_form", "list", "[1, 2]")
    assert mathvista.is_right("[1, 2]", None, "free_form", "list", "None")
