from __future__ import annotations

import pytest

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
