from __future__ import annotations

from oqvl_eval.profiles.lmms import mmstar


def test_credit_answers(check):
    check(mmstar.credit)


def test_summarize_answers(check):
    check(mmstar.summarize)


def test_the_score_is_the_mean_of_the_sub_categories():
    assert mmstar.summarize([("a", 1.0), ("b", 0.0), ("b", 0.0), ("b", 0.0)]) == 0.5
