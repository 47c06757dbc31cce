from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval.extraction import extract_letter, extract_short_answer, extract_yes_no, normalize

FRUIT = ["an apple", "a pear", "a prickly pear", "none of these"]


@pytest.mark.parametrize(
    ("output", "letter", "by"),
    [
        ("B", "B", "letter"),
        (" B\n", "B", "letter"),
        ("b", "B", "letter"),
        ("(B)", "B", "letter"),
        ("B.", "B", "letter"),
        ("**B**", "B", "letter"),
        ("Option b.", "B", "letter"),
        ("\n\nC\n\nQuestion: what next? A", "C", "letter"),
        ("a pear", "B", "option_text"),
        ("Pear.", "B", "option_text"),
        ("prickly pear", "C", "option_text"),
        ("B. a pear", "B", "leading_letter"),
        ("(B) a pear, as the stem shows", "B", "leading_letter"),
        ("B: it is green", "B", "leading_letter"),
        ("**B**: it is green", "B", "leading_letter"),
        ("B. a pear\n\nQuestion: which is red?\nAnswer: A", "B", "leading_letter"),
        ("The answer is B", "B", "declaration"),
        ("The correct answer is (C), not a pear", "C", "declaration"),
        ("It is green.\nAnswer: **D**", "D", "declaration"),
        ("I would choose option C because of the thorns", "C", "declaration"),
        ("I see thorns, hence (C) here", "C", "bracketed_letter"),
        ("It has to be B.", "B", "final_letter"),
        ("That is a pear, I think", "B", "option_text_within"),
        ("That is a prickly pear, I think", "C", "option_text_within"),
    ],
)
def test_what_is_read(output, letter, by):
    extraction = extract_letter(output, FRUIT)
    assert (extraction.status, extraction.answer, extraction.by) == ("parsed", letter, by)


@pytest.mark.parametrize(
    "output",
    ["", "  \n ", "I cannot tell.", "E", "(F)", "A dog lies on it", "The answer is a dog", "The answer is A dog"],
)
def test_what_is_not_read(output):
    assert extract_letter(output, FRUIT).status == "unparsed"


@pytest.mark.parametrize(
    ("output", "by"),
    [
        ("The answer is A. No, the answer is B.", "declaration"),
        ("(A) or (B)", "leading_letter"),
        ("Either (A) or (B)", "bracketed_letter"),
        ("A or B", "final_letter"),
        ("An apple beside a pear", "option_text_within"),
    ],
)
def test_what_says_several_things(output, by):
    extraction = extract_letter(output, FRUIT)
    assert (extraction.status, extraction.by, extraction.answer) == ("ambiguous", by, "")


def test_repeating_the_options_is_no_answer():
    repeated = "A. an apple\nB. a pear\nC. a prickly pear"
    assert extract_letter(repeated, FRUIT).status == "ambiguous"
    assert extract_letter(repeated + "\nThe answer is C.", FRUIT).answer == "C"


def test_options_that_are_letters_themselves():
    assert extract_letter("B", ["B", "A"]).status == "ambiguous"
    assert extract_letter("(B)", ["x", "B"]).answer == "B"


def test_options_that_begin_like_letters():
    assert extract_letter("A. Smith", ["B. Jones", "A. Smith"]).answer == "B"


def test_options_that_are_alike_cannot_be_told_apart():
    assert extract_letter("pear", ["a pear", "the pear"]).status == "ambiguous"
    assert extract_letter("I see a pear there", ["a pear", "the pear"]).status == "ambiguous"


def test_letters_without_an_option_do_not_count():
    assert extract_letter("C", ["yes", "no"]).status == "unparsed"
    assert extract_letter("The answer is D", ["yes", "no"]).status == "unparsed"


def test_an_option_with_regular_expression_marks():
    assert extract_letter("it says f(x)+1 there", ["f(x)+1", "x*"]).answer == "A"


@given(st.text(), st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=6))
def test_any_answer_is_read_or_counted(output, choices):
    extraction = extract_letter(output, choices)
    if extraction.status == "parsed":
        assert extraction.answer in "ABCDEF"[: len(choices)]
    else:
        assert extraction.answer == ""


@given(st.integers(0, 25), st.sampled_from(["{}", "{}.", "({})", " {}\n", "Answer: {}", "The answer is {}."]))
def test_a_plain_letter_is_always_read(index, form):
    letter = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index]
    choices = [f"thing number {number}" for number in range(26)]
    assert extract_letter(form.format(letter), choices).answer == letter


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  The  Cat. ", "cat"),
        ("1,234,567", "1234567"),
        ("1,2", "1,2"),
        ("3.5", "3.5"),
        (".5", ".5"),
        ("-4", "-4"),
        ("\u201cStop!\u201d", "stop"),
        ("A", "a"),
        ("don't", "don't"),
        ("\uff34\uff25\uff33\uff34", "test"),
        ("STRASSE", normalize("straße")),
        ("...", ""),
    ],
)
def test_normal_form(text, normal):
    assert normalize(text) == normal


@given(st.text())
def test_the_normal_form_is_stable(text):
    assert normalize(normalize(text)) == normalize(text)


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("Paris", "paris"),
        ("\n The Paris.\nQuestion: more", "paris"),
        ("Answer: Paris", "paris"),
        ("The answer is 7.", "7"),
    ],
)
def test_short_answers(output, answer):
    extraction = extract_short_answer(output)
    assert (extraction.status, extraction.answer) == ("parsed", answer)


@pytest.mark.parametrize(
    ("output", "status", "answer"),
    [
        ("Yes", "parsed", "yes"),
        (" yes, there is", "parsed", "yes"),
        ("NO.", "parsed", "no"),
        ("There is not. Yes?", "parsed", "no"),
        ("There isn\u2019t one", "parsed", "no"),
        ("yes\nQuestion: and now? no", "parsed", "yes"),
        ("Yes, but not here", "ambiguous", ""),
        ("Nothing of note", "unparsed", ""),
        ("\n", "unparsed", ""),
    ],
)
def test_yes_and_no(output, status, answer):
    extraction = extract_yes_no(output)
    assert (extraction.status, extraction.answer) == (status, answer)


def test_an_empty_short_answer_is_unparsed():
    assert extract_short_answer(" \n...\n").status == "unparsed"
