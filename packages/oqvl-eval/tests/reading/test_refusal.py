from __future__ import annotations

import pytest

from oqvl_eval.reading.refusal import first_doubt, refusals, sentence_end


@pytest.mark.parametrize(
    "text", ["I don't know.", "Not sure", "I cannot tell", "As an AI, I see nothing", "\u4e0d\u77e5\u9053"]
)
def test_refusals(text):
    assert list(refusals(text))


@pytest.mark.parametrize(
    "text", ["B", "I know it", "Sure", "The man is unable to walk", "It is clear", "\u9e1f\u65e0\u6cd5\u98de"]
)
def test_what_is_no_refusal(text):
    assert not list(refusals(text))


@pytest.mark.parametrize(
    ("text", "is_doubted"),
    [
        ("Not sure. B", True),
        ("B, not sure", True),
        ("B. I am not sure which dog it is.", False),
        ("B", False),
    ],
)
def test_doubt_counts_before_an_answer_and_in_its_sentence(text, is_doubted):
    place = text.index("B")
    assert (first_doubt(text, place, place + 1) is not None) is is_doubted


def test_what_an_answer_says_itself_is_no_doubt():
    assert first_doubt("D. Cannot be determined", 0, 23) is None


def test_sentences_end():
    assert sentence_end("3.5 m. So", 0) == 5
    assert sentence_end("no end", 0) == 6
