from __future__ import annotations

from oqvl_eval.profiles.official import mmmu


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
    assert mmmu.credit("12", None, "12") == 1.0


def test_subjects_outside_the_benchmark_are_ignored():
    assert mmmu.summarize({"Art": [1.0], "Astrology": [0.0]})["Overall"] == 1.0
