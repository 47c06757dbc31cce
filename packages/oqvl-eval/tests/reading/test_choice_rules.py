from __future__ import annotations

import pytest

from oqvl_eval.reading.choice_rules import RULES, listed_options, sheet_of
from oqvl_eval.reading.phrase import lowered, prepared

ANIMALS = prepared({"A": "cat", "B": "bird", "C": "horse", "D": "dog"})


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("(B)", "bare"),
        ("a bird", "option_text"),
        ("B. It flies", "leading"),
        ("A bird. It flies", "leading_text"),
        ("It flies. B.", "last_sentence"),
        (r"It is \boxed{B}", "boxed"),
        ("I say the answer is B", "answer_is"),
        ("It flies, so B", "concluded"),
        ("It flies, hence B is correct", "predicate"),
    ],
)
def test_which_rule_reads_what(text, rule):
    sheet = sheet_of(text, ANIMALS)
    claims = [claim for find in RULES for claim in find(sheet)]
    assert {(claim.rule, claim.answers) for claim in claims} >= {(rule, frozenset("B"))}


@pytest.mark.parametrize(
    ("text", "num_listed"),
    [
        ("A. cat\nB. bird", 2),
        ("A. cat B. bird C. horse", 3),
        ("(A) cat (B) bird", 2),
        ("A. It is small.\nB. It flies.", 2),
        ("A. It is small. B. It flies.", 2),
        ("B. bird", 0),
        ("A. B.", 0),
        ("B. This is no vitamin C. It flies.", 0),
        ("B. bird\n\nExplanation:\nA. It is small.\nB. It flies.", 0),
    ],
)
def test_lists_of_options(text, num_listed):
    assert len(listed_options(text, lowered(text), ANIMALS)) == num_listed
