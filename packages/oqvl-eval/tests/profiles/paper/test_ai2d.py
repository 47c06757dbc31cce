from __future__ import annotations

from oqvl_eval.profiles.paper import ai2d


def test_credit_answers(check):
    check(ai2d.credit)


def test_the_first_of_equal_probabilities_counts():
    assert ai2d.most_likely([0.2, 0.4, 0.4]) == 1
