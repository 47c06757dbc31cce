from __future__ import annotations

import string

import pytest

from oqvl_eval.reading.choice import read_choice

LETTERS = string.ascii_uppercase
THINGS = {letter: f"thing number {number}" for number, letter in enumerate(LETTERS)}
ANIMALS = {"A": "cat", "B": "bird", "C": "horse", "D": "dog"}


def said(template: str, x: str, y: str, z: str) -> str:
    """Put letters in the place of X, Y and Z, and small ones in that of x, y and z, but not within words."""
    names = {"X": x, "Y": y, "Z": z, "x": x.lower(), "y": y.lower(), "z": z.lower()}

    def is_name(place: int) -> bool:
        around = template[max(0, place - 1) : place] + template[place + 1 : place + 2]
        return template[place] in names and not any(c.isascii() and c.isalpha() and c not in names for c in around)

    return "".join(names[c] if is_name(place) else c for place, c in enumerate(template))


@pytest.mark.parametrize(("x", "y", "z"), [("A", "B", "C"), ("B", "A", "I"), ("I", "C", "A"), ("T", "I", "D")])
def test_known_answers(known, x, y, z):
    reading = read_choice(said(known.output, x, y, z), THINGS)
    if known.status == "not":
        assert reading.status in ("ambiguous", "refused")
    else:
        answer = {"X": x, "Y": y, "": ""}[known.answer]
        assert (reading.status, reading.answer) == (known.status, answer)


@pytest.mark.parametrize(
    ("output", "status", "answer"),
    [
        ("dog", "read", "D"),
        ("A dog.", "read", "D"),
        ("**The dog**", "read", "D"),
        ("dog, because it barks", "read", "D"),
        ("The answer is a dog.", "read", "D"),
        ("It is a dog.", "read", "D"),
        ("D. dog", "read", "D"),
        ("D.dog", "read", "D"),
        ("D dog", "read", "D"),
        ("The answer is D (dog).", "read", "D"),
        ("<think>\nThe answer is A? No.\n</think>\nB", "read", "B"),
        ("A. cat\nB. bird\nC. horse\nD. dog\nThe answer is C.", "read", "C"),
        ("Options: A. cat B. bird C. horse D. dog. Answer: C", "read", "C"),
        ("A. A dog is larger.", "read", "A"),
        ("B and the dog", "ambiguous", ""),
        ("B. cat", "ambiguous", ""),
        ("The answer is A (dog)", "ambiguous", ""),
        ("dog or cat", "ambiguous", ""),
        ("C.D.", "ambiguous", ""),
        ("D. A.", "ambiguous", ""),
        ("A)B", "ambiguous", ""),
        ("A dog is running", "unread", ""),
        ("The answer is a dog house", "unread", ""),
        ("A big dog", "unread", ""),
        ("dogs", "unread", ""),
        ("Options", "unread", ""),
        ("answers", "unread", ""),
        ("A. cat\nB. bird\nC. horse\nD. dog", "unread", ""),
        ("(A) cat (B) bird (C) horse (D) dog", "unread", ""),
        ("E", "unread", ""),
        ("The answer is E", "unread", ""),
    ],
)
def test_texts_of_options(output, status, answer):
    reading = read_choice(output, ANIMALS)
    assert (reading.status, reading.answer) == (status, answer)


def test_a_reading_says_which_rule_read_where():
    reading = read_choice("<think>A</think>It flies. The answer is **B**.", ANIMALS)
    assert (reading.rule, reading.span) == ("answer_is", (30, 43))


def test_an_option_that_says_nobody_knows_is_an_answer():
    options = {"A": "cat", "B": "Cannot be determined"}
    assert read_choice("Cannot be determined.", options).answer == "B"
    assert read_choice("B. Cannot be determined", options).answer == "B"


def test_long_outputs_are_read_alike():
    output = "The answer is B." + " It flies." * 100
    assert read_choice(output, ANIMALS).answer == "B"
