from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_eval.importers.options import inline_options


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Which?\nOptions: A: one, B: two", ("one", "two")),
        ("Which?\nChoices:\n(A) one\n(B) two\n(C) three", ("one", "two", "three")),
        ("Which?\n\nA. one\nB. two\nAnswer with the letter.", ("one", "two")),
        ("Options: A: 1,000, B: 2,000", ("1,000", "2,000")),
        ("The options: none.\nOptions: A: one, B: two", ("one", "two")),
        ("Which plan, A. or B.?", ()),
        ("Options: A: one", ()),
        ("Options: B: one, C: two", ()),
        ("Options: A: , B: two", ()),
        ("", ()),
    ],
)
def test_options_in_the_text(question, options):
    assert inline_options(question) == options


@given(st.lists(st.from_regex(r"[a-z]{2,8}( [a-z]{2,8})?", fullmatch=True), min_size=2, max_size=8))
def test_options_are_found_in_every_notation(options):
    letters = "ABCDEFGH"
    for mark in ("{}. ", "{}: ", "({}) ", "{}) "):
        lines = [mark.format(letter) + option for letter, option in zip(letters, options, strict=False)]
        assert inline_options("Which one?\n" + "\n".join(lines)) == tuple(options)
        assert inline_options("Which one?\nOptions: " + ", ".join(lines)) == tuple(options)
