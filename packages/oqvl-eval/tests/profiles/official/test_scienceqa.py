from __future__ import annotations

import pytest

from oqvl_eval.profiles.official import scienceqa


def test_credit_answers(check):
    check(scienceqa.credit)


@pytest.mark.parametrize(
    ("output", "letter"),
    [
        ("B", "B"),
        ("B. cat", "B"),
        ("B.", None),
        ("The answer is B.", "B"),
        ("The answer is B", None),
        ("The answer is Because", "B"),
        ("The answer is A. The answer is B.", None),
    ],
)
def test_read_letter(output, letter):
    assert scienceqa.read_letter(output) == letter
