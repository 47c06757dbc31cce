from __future__ import annotations

from oqvl_eval.profiles.paper import mathvista


def test_read_letter_answers(check):
    check(mathvista.read_letter)


def test_credit_answers(check):
    check(mathvista.credit)


def test_multiple_choice_items_are_scored_as_open_ones():
    assert mathvista.credit("B", "B") == 1.0
    assert mathvista.credit("(B)", "B") == 0.0
    assert mathvista.credit("option b or c", "B") == 1.0


def test_numbers_are_compared_with_two_decimals():
    assert mathvista.credit("5.001", "5") == 1.0
