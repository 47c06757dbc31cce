from __future__ import annotations

from oqvl_eval.profiles.paper import substring


def test_credit_mmbench_answers(check):
    check(substring.credit, "credit:mmbench")


def test_credit_seedbench_answers(check):
    check(substring.credit, "credit:seedbench")


def test_exact_case_credit_answers(check):
    check(substring.exact_case_credit)


def test_mantis_credit_answers(check):
    check(substring.mantis_credit)


def test_almost_any_sentence_answers_a():
    assert substring.credit("I cannot tell", "A") == 1.0
    assert substring.exact_case_credit("I cannot tell", "A") == 0.0
    assert substring.mantis_credit("cat", ["cat", "cats"]) == 1.0
    assert substring.mantis_credit("a cat", ["cat", "cats"]) == 0.0
