from __future__ import annotations

import pytest

from oqvl_eval.profiles.lmms import mmmu
from oqvl_eval.profiles.markers import Draw


def test_read_letter_answers(check):
    check(mmmu.read_letter)


def test_choice_credit_answers(check):
    check(mmmu.choice_credit)


def test_open_credit_answers(check):
    check(mmmu.open_credit)


def test_summarize_answers(check):
    check(mmmu.summarize)


def test_subject_of_answers(check):
    check(mmmu.subject_of)


def test_credit_of_both_kinds_of_items():
    assert mmmu.credit("(B)", ["x", "y"], "B") == 1.0
    assert mmmu.credit("", ["x", "y"], "B") == 0.5
    assert mmmu.credit("12", None, "12") == 0.0


def test_open_items_are_wrong_unless_the_gold_is_empty():
    assert mmmu.open_credit("12", "12") == 0.0
    assert mmmu.open_credit("12", ["x", " "]) == 1.0
    assert mmmu.open_credit("", "") == 0.0


def test_one_of_several_entries_is_kept_at_random():
    assert mmmu.kept_open_answer("12") == "12.0"
    assert mmmu.kept_open_answer("12 cm") == Draw(2)


def test_subjects_that_are_outside_the_benchmark_count_overall():
    assert mmmu.summarize({"Art": [1.0], "Astrology": [0.0]})["Overall"] == 0.5


def test_an_identifier_of_another_form_is_refused():
    with pytest.raises(ValueError, match="not of the form split_Subject_number"):
        mmmu.subject_of("validation_3")
