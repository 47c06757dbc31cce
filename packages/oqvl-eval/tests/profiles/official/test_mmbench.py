from __future__ import annotations

from oqvl_eval.profiles.official import mmbench
from oqvl_eval.profiles.rotation import Rotation


def test_credit_answers(check):
    check(mmbench.credit)


def test_circular_credits_answers(check, as_rotations):
    check(lambda rows: mmbench.circular_credits(as_rotations(rows)), "circular_credits")


def test_what_cannot_be_read_is_wrong():
    options = {"A": "cat", "B": "dog"}
    assert mmbench.infer_option("a fish", options) is None
    assert mmbench.question_credit([Rotation(1, "A", options, "A"), Rotation(1_000_001, "a fish", options, "B")]) == 0.0
