from __future__ import annotations

import pytest

from oqvl_eval.reading.declaration import announces, correction, declared, is_denied


def answers(text: str) -> list[tuple[str, str]]:
    return [(cue.rule, answer) for cue, answer in declared(text, lambda place, rule, strength: text[place:] or None)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("The answer is B", "answer_is"),
        ("Final answer: B", "answer_is"),
        ("I choose B", "chosen"),
        ("so B", "concluded"),
        ("it is B", "copula"),
        ("not A but B", "not_but"),
        ("\u7b54\u6848\u662fB", "answer_is_chinese"),
        ("\u6545\u9009B", "chosen_chinese"),
    ],
)
def test_cues(text, rule):
    assert (rule, "B") in answers(text)


@pytest.mark.parametrize(
    "text",
    ["I do not think the answer is B", "If so, the answer is B", "The answer isn't B", "Paris B", "\u4e0d\u9009B"],
)
def test_what_is_no_cue(text):
    assert ("answer_is", "B") not in answers(text)
    assert ("chosen_chinese", "B") not in answers(text)


def test_final_answers_and_corrections_are_told():
    (final, _), *_ = declared("Final answer: B", lambda place, rule, strength: "B")
    assert final.is_final and not final.correction
    assert correction("A. No wait, the answer is B", 12) == "word"
    assert correction("A. No, the answer is B", 7) == "no"
    assert correction("A. So the answer is B", 6) == ""


def test_denials_end_with_their_clause():
    assert is_denied("I do not say it", 9)
    assert not is_denied("It is not red, I say it", 15)


def test_announcements_may_be_denied():
    assert announces("If so, the answer is B")
    assert not announces("Paris is the capital")
