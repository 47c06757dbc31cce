from __future__ import annotations

import pytest

from oqvl_eval.reading.normalisation import NormalText
from oqvl_eval.reading.scope import answer_scope


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("B", "B"),
        ("<think>A</think> **B**", "B"),
        ("It is A. <answer>B</answer> Or C.", "B"),
        ("<answer>B", "B"),
        ("<answer></answer>B", "B"),
        ("Fill in <answer></answer>: <answer>B</answer>", "B"),
        ("<answer>A</answer> and <answer>B</answer>", "A\nB"),
        ("<think><answer>A</answer></think>B", "B"),
        ("<|begin_of_box|>B<|end_of_box|> A", "B"),
        ("B<|im_end|>A", "B"),
        ("<|im_start|>B<|im_end|>A", "B"),
        ("B\n\nQuestion: next?\nAnswer: A", "B"),
        ("B\nQ1: next? A", "B"),
        ("Question: which?\nAnswer: B", "Question: which?\nAnswer: B"),
    ],
)
def test_where_an_answer_is_read(output, text):
    scope = answer_scope(output)
    assert isinstance(scope, NormalText)
    assert scope.text == text


@pytest.mark.parametrize(
    ("output", "rule"),
    [
        ("", "blank"),
        (" \n", "blank"),
        ("**", "blank"),
        ("<think>x</think>", "blank"),
        ("<think>B", "unclosed_reasoning"),
    ],
)
def test_nothing_left_to_read(output, rule):
    scope = answer_scope(output)
    assert not isinstance(scope, NormalText)
    assert (scope.status, scope.rule) == ("no_answer", rule)


def test_places_are_those_of_the_output():
    output = "<think>A</think> <answer>**B**</answer>"
    scope = answer_scope(output)
    assert isinstance(scope, NormalText)
    assert scope.span(0, 1) == (output.index("B"), output.index("B") + 1)
