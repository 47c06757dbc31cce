from __future__ import annotations

import pytest

from oqvl_eval.profiles.official import mmstar


def test_credit_answers(check):
    check(mmstar.credit)


def test_summarize_answers(check):
    check(lambda rows: mmstar.summarize((row[0], row[1], mmstar.credit(row[2], row[3])) for row in rows), "summarize")


@pytest.mark.parametrize(
    ("output", "letters"),
    [
        ("Cannot tell", {"c"}),
        ("(B) cat", {"(", "b"}),
        ("Option D", {"o", "d"}),
        ("The answer is A.", {"t", "a"}),
        ("", set()),
    ],
)
def test_candidate_letters(output, letters):
    assert mmstar.candidate_letters(output) == letters


def test_the_denominators_are_fixed():
    assert mmstar.summarize([("math", "geometry", 1.0)]) == {
        "math(geometry)": 1.0,
        "math": 1 / 250,
        "final score": 1 / 1500,
    }
