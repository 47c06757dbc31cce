from __future__ import annotations

from oqvl_eval.profiles.official import seedbench


def test_credit_answers(check):
    check(seedbench.credit)


def test_lowest_loss_letter():
    assert seedbench.lowest_loss_letter([2.0, 1.0, 1.0, 3.0]) == "B"


def test_summarize():
    assert seedbench.summarize([1.0, 0.0, 0.0, 0.0]) == 25.0
