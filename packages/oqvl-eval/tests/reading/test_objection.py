from __future__ import annotations

import pytest

from oqvl_eval.reading.choice_rules import sheet_of
from oqvl_eval.reading.claim import Claim
from oqvl_eval.reading.objection import objection
from oqvl_eval.reading.phrase import prepared


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("B", ""),
        ("B. It is not A.", ""),
        ("B. A is wrong.", ""),
        ("B. It is not B.", "denied"),
        ("B. B is clearly wrong.", "denied"),
        ("B. No.", "taken_back"),
        ("B, which is wrong", "taken_back"),
        ("B. No other fits.", ""),
        ("B, I am not sure", "doubt"),
        ("B, or maybe C.", "alternative"),
        ("B. Also B.", ""),
    ],
)
def test_what_takes_an_answer_back(text, reason):
    sheet = sheet_of(text, prepared({"A": "cat", "B": "bird", "C": "horse"}))
    assert objection(sheet, [Claim(0, 1, frozenset("B"), "bare")], "B") == reason
