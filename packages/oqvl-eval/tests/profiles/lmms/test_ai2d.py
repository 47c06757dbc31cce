from __future__ import annotations

from oqvl_eval.profiles.lmms import ai2d
from oqvl_eval.profiles.lmms.reasoning import DEFAULT_TAGS


def test_credit_answers(check):
    check(ai2d.credit)


def test_the_letter_is_read_before_reasoning_is_removed():
    assert ai2d.credit("A. cat", "A") == 1.0
    assert ai2d.credit("<think>so</think>A. cat", "A", DEFAULT_TAGS) == 0.0
    assert ai2d.credit("<think>so</think>(A)", "A", DEFAULT_TAGS) == 1.0
    assert ai2d.credit("A: cat", "A") == 0.0
