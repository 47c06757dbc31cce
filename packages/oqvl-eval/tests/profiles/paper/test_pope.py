from __future__ import annotations

from oqvl_eval.profiles.paper import pope


def test_credit_answers(check):
    check(pope.credit)


def test_summarize_answers(check):
    check(pope.summarize)


def test_marks_are_removed_in_one_order():
    assert pope.prepare("Yes.,") == "yes"
    assert pope.prepare("Yes,.") == "yes,"


def test_an_answer_that_is_neither_counts_as_no():
    assert pope.split_figures([("yes", "yes"), ("perhaps", "yes")]) == {"accuracy": 0.5, "f1": 2 / 3}
