from __future__ import annotations

from oqvl_eval.profiles.lmms import pope


def test_credit_answers(check):
    check(pope.credit)


def test_summarize_answers(check):
    check(pope.summarize)


def test_an_answer_that_is_neither_is_not_missed():
    figures = pope.summarize([("yes", "yes"), ("Yes.", "yes"), ("perhaps", "yes")])
    assert figures["recall"] == 1.0
    assert figures["accuracy"] == 1 / 3


def test_the_yes_ratio_is_that_of_the_golds():
    assert pope.summarize([("no", "yes"), ("no", "yes")])["yes_ratio"] == 1.0
