from __future__ import annotations

import pytest

from oqvl_eval.profiles.ngram_match import NgramMatch, best_ngram, score_covered_text


@pytest.mark.parametrize(
    ("output", "match"),
    [
        ("it says the red house there", NgramMatch("the red house", 1.0, 1.0)),
        ("it says the blue house there", NgramMatch("the blue house", 0.0, 0.5)),
        ("red house", NgramMatch()),
        ("nothing like it here", NgramMatch()),
        ("", NgramMatch()),
    ],
)
def test_best_ngram(output, match):
    assert best_ngram(output, "the red house", str.split) == match


def test_the_first_of_equally_similar_ngrams_counts():
    assert best_ngram("ab x ba", "ab ba", str.split).text == "ab x"


def test_chinese_tokens_are_joined_without_spaces():
    assert best_ngram("是红房子", "红房子", list, joiner="").text == "红房子"


def test_an_empty_covered_text_is_never_matched():
    assert best_ngram("some words", "", str.split) == NgramMatch()


def test_a_refusal_scores_nothing_even_if_it_has_the_text():
    assert score_covered_text("the red house", "the red house", str.split).exact_match == 1.0
    assert score_covered_text("Sorry, the red house", "the red house", str.split) == NgramMatch()
    assert score_covered_text("I can't say the red house", "the red house", str.split) == NgramMatch()
