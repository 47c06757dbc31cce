from __future__ import annotations

import pytest

from oqvl_eval.profiles.lmms import letter


def test_read_letter_answers(check):
    check(letter.read_letter)


@pytest.mark.parametrize(
    ("output", "read"),
    [
        ("B", "B"),
        ("The answer is B, not A", "A"),
        ("Dog", "D"),
        ("red", None),
        ("(A) or (B)", "B"),
        ("B. because of (A) and so", "B"),
        ("정답은 C 입니다", "C"),
        ("", None),
    ],
)
def test_forms(output, read):
    assert letter.read_letter(output) == read
