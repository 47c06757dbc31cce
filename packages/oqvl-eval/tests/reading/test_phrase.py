from __future__ import annotations

import pytest

from oqvl_eval.reading.phrase import Ending, Options, lowered, name_of_text, parse_phrase, prepare, prepared

ANIMALS = prepared({"A": "cat", "B": "bird", "C": "hot dog", "D": "dog"})


def letters(text: str, ending: Ending = "line", options: Options = ANIMALS) -> str | None:
    phrase = parse_phrase(text, lowered(text), 0, options, ending)
    return None if phrase is None else "".join(sorted(phrase.letters))


@pytest.mark.parametrize(
    ("text", "ending", "named"),
    [
        ("B", "line", "B"),
        ("(B).", "line", "B"),
        ("option B", "line", "B"),
        ("B. bird", "line", "B"),
        ("B (bird)", "line", "B"),
        ("dog", "line", "D"),
        ("A dog", "line", "D"),
        ("the hot dog", "line", "C"),
        ("A cat", "line", "A"),
        ("B. cat", "line", "AB"),
        ("B and the dog", "line", "BD"),
        ("A, B or C", "line", "ABC"),
        ("B. It flies", "leading", "B"),
        ("B flies", "leading", None),
        ("B because", "strong", "B"),
        ("B dog", "strong", "BD"),
        ("B in it", "strong", "B"),
        ("B in it", "weak", None),
        ("B?", "strong", None),
        ("dogs", "line", None),
        ("dog house", "strong", None),
        ("B-52", "strong", None),
        ("B's", "strong", None),
        ("B. C is wrong", "leading", "B"),
        ("B and C are here", "strong", None),
        ("E", "line", "E"),
        ("dog-house", "line", None),
    ],
)
def test_phrases(text, ending, named):
    assert letters(text, ending) == named


def test_an_option_that_is_a_letter_means_both():
    assert letters("B", options=prepared({"A": "B", "B": "A"})) == "AB"
    assert letters("B", options=prepared({"A": "x", "B": "B"})) == "B"


def test_a_text_that_begins_like_a_letter_is_a_text():
    assert letters("A. Smith", options=prepared({"A": "B. Jones", "B": "A. Smith"})) == "B"


def test_texts_that_are_alike_name_both():
    assert letters("pear", options=prepared({"A": "a pear", "B": "the pear."})) == "AB"


def test_the_longest_text_wins():
    assert name_of_text("hot dog", 0, ANIMALS) == (7, frozenset("C"))
    assert name_of_text("a cat's", 0, ANIMALS) is None


def test_options_are_prepared_once():
    assert prepare((("A", "cat"),)) is prepare((("A", "cat"),))
    assert prepare((("A", "cat"),)).has_short_texts


def test_lower_case_keeps_the_length():
    assert lowered("\u0130A") == "\u0130a"
