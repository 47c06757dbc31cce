from __future__ import annotations

from oqvl_eval.profiles.markers import NeedsJudge
from oqvl_eval.profiles.official import mathvista


def test_extract_answers(check):
    check(mathvista.extract)


def test_normalize_answers(check):
    check(mathvista.normalize)


def test_nearest_choice_answers(check):
    check(mathvista.nearest_choice)


def test_levenshtein_answers(check):
    check(mathvista.levenshtein)


def test_credit_answers(check):
    check(mathvista.credit)


def test_any_multiple_choice_text_becomes_an_option():
    assert mathvista.chosen_text("no idea", ["12", "hot dog"]) == "hot dog"
    assert mathvista.chosen_text("", ["hot dog", "12"]) == "12"
    assert mathvista.chosen_text("f(x) is 12", ["12", "3"]) == "3"
    assert mathvista.chosen_text("(b)", ["12", "3"]) == "3"


def test_an_empty_extraction_can_stay_undecided():
    assert mathvista.normalize(" ", ["12", "3"], "multi_choice", "text", None, ignore_empty=True) is None


def test_the_comparison_is_exact():
    assert mathvista.credit("5", None, "free_form", "float", 2.0, "5.00") == 0.0
    assert mathvista.credit("5", None, "free_form", "float", 1.0, "5.0") == 1.0
    assert mathvista.credit("5 cm", None, "free_form", "integer", None, "5") == NeedsJudge()
    assert mathvista.as_integer("5 cm") is None
