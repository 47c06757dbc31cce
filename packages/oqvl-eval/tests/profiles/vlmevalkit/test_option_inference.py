from __future__ import annotations

import pytest

from oqvl_eval.profiles.markers import NeedsJudge
from oqvl_eval.profiles.vlmevalkit import option_inference

OPTIONS = {"A": "a cat", "B": "a dog", "C": "art", "D": "music"}


def test_infer_option_answers(check):
    check(option_inference.infer_option)


def test_infer_text_answers(check):
    check(option_inference.infer_text)


def test_credit_answers(check):
    check(option_inference.credit)


def test_infer_letter_answers(check):
    check(lambda output, options: option_inference.infer_letter(str(output), options), "infer_letter")


@pytest.mark.parametrize(
    ("output", "letter"),
    [
        ("(B)", "B"),
        ("B it is, as the picture shows", None),
        ("the answer is difficult", "D"),
        ("A or B", None),
        ("part of it", "C"),
        ("Cannot determine the answer", "Z"),
        ("Failed to obtain answer via API", None),
    ],
)
def test_infer_option(output, letter):
    assert option_inference.infer_option(output, OPTIONS) == letter


def test_a_long_answer_is_not_searched_for_texts():
    assert option_inference.infer_text("a dog", OPTIONS) == "B"
    assert option_inference.infer_text("a dog " + "x" * 50, OPTIONS) is None


def test_only_unread_answers_go_to_the_judge():
    assert option_inference.credit("A or B", OPTIONS, "A", has_judge=True) == NeedsJudge()
    assert option_inference.credit("A or B", OPTIONS, "A") == 0.0
    assert option_inference.credit("I can't process this file.", OPTIONS, "A", has_judge=True) == 0.0
