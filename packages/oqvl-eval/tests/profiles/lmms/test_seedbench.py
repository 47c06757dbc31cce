from __future__ import annotations

from oqvl_eval.profiles.lmms import seedbench


def test_credit_answers(check):
    check(seedbench.credit)


def test_the_first_character_counts():
    assert seedbench.read_letter(" Because") == "B"
    assert seedbench.read_letter(" ") == ""
