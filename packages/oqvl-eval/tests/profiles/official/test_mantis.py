from __future__ import annotations

import pytest

from oqvl_eval.profiles.official import mantis


def test_credit_answers(check):
    check(mantis.credit)


def test_the_first_letter_of_any_word_counts():
    assert mantis.choice_credit("Dog", ["cat", "dog", "cow", "pig"], "D") == 1.0
    assert mantis.choice_credit("The answer is (B)", ["cat", "dog"], "(B)") == 1.0


def test_a_letter_beyond_the_options_leads_to_a_comparison_of_texts():
    assert mantis.choice_credit("red fox", ["(A) blue fox", "(B) red fox"], "B") == 1.0
    assert mantis.choice_credit("red fox.", ["(A) blue fox", "(B) red fox"], "B") == 0.0


def test_true_and_false_of_nlvr2():
    options = ["The statement is false", "The statement is true"]
    assert mantis.choice_credit("It is true", options, "B", "nlvr2") == 1.0
    assert mantis.choice_credit("It is true, not false", options, "B", "nlvr2") == 0.0
    assert mantis.choice_credit("It is true", options, "B") == 0.0


def test_a_gold_without_a_letter_is_refused():
    with pytest.raises(ValueError, match="has no letter"):
        mantis.choice_credit("A", ["cat"], "()")
