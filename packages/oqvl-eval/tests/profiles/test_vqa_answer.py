from __future__ import annotations

import pytest

from oqvl_eval.profiles import vqa_answer


def test_remove_punctuation(check):
    check(vqa_answer.remove_punctuation)


def test_replace_words(check):
    check(vqa_answer.replace_words)


@pytest.mark.parametrize(
    ("answer", "normalized"),
    [
        ("The Cat", "cat"),
        ("three dogs", "3 dogs"),
        ("none", "0"),
        ("dont", "don't"),
        ("3.", "3"),
        ("3.5", "3.5"),
        ("." * 40, "." * 8),
        ("half-full", "half full"),
        ("half- full", "half full"),
        ("Im", "im"),
        ("somebody'd", "somebodyd"),
        ("John's", "john 's"),
        ("", ""),
    ],
)
def test_normalize(answer, normalized):
    assert vqa_answer.normalize(answer) == normalized


def test_a_number_with_a_comma_makes_all_marks_go():
    assert vqa_answer.remove_punctuation("a-b 1,000") == "ab 1000"
    assert vqa_answer.remove_punctuation("a-b 1000") == "a b 1000"


def test_dialects_differ_in_repeated_commas():
    assert vqa_answer.remove_punctuation("a-b 1,,000", vqa_answer.EVAL_AI) == "ab 1000"
    assert vqa_answer.remove_punctuation("a-b 1,,000", vqa_answer.VQA_CHALLENGE) == "a b 1  000"


def test_leave_one_out():
    assert vqa_answer.leave_one_out("a", ["a", "a", "b"]) == [1 / 3, 1 / 3, 2 / 3]
    assert vqa_answer.leave_one_out("a", ["a"]) == [0.0]
