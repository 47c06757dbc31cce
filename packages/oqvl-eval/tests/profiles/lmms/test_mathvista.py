from __future__ import annotations

from oqvl_eval.profiles.lmms import mathvista
from oqvl_eval.profiles.markers import NeedsJudge


def test_extract_answers(check):
    check(mathvista.extract)


def test_normalize_answers(check):
    check(mathvista.normalize)


def test_credit_answers(check):
    check(mathvista.credit)


def test_float_items_are_wrong_because_their_precision_is_a_float():
    assert mathvista.credit("5.0", None, "free_form", "float", 1.0, "5.0") == 0.0
    assert mathvista.credit("5.0", None, "free_form", "float", 1, "5.0") == 1.0


def test_no_value_equals_the_text_none():
    assert mathvista.is_right(None, "None")
    assert mathvista.credit("5 cm", None, "free_form", "integer", None, "5") == NeedsJudge()


def test_an_accuracy_of_zero_is_reported_as_missing():
    assert mathvista.summarize([0.0, 0.0]) is None
    assert mathvista.summarize([1.0, 0.0, 0.0]) == 33.33
