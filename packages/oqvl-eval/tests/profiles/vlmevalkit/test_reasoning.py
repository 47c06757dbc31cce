from __future__ import annotations

from oqvl_eval.profiles.vlmevalkit import reasoning


def test_strip_reasoning_answers(check):
    check(reasoning.strip_reasoning)


def test_an_answer_without_the_tag_is_not_stripped():
    assert reasoning.strip_reasoning("<think> B ") == "<think> B "
    assert reasoning.strip_reasoning("x</think>y</think> B ") == "B"
