from __future__ import annotations

import pytest

from oqvl_eval.profiles.lmms import reasoning


def test_strip_reasoning_answers(check):
    check(reasoning.strip_reasoning)


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("<think>so</think> B", "B"),
        ("so</think> B", "B"),
        ("<think>so B", "<think>so B"),
        ("<analysis>x</analysis><think>y</think>B", "B"),
        ("<THINK>so</THINK>B", "<THINK>so</THINK>B"),
    ],
)
def test_strip_reasoning(output, answer):
    assert reasoning.strip_reasoning(output) == answer
