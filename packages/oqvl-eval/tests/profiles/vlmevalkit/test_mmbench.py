from __future__ import annotations

from oqvl_eval.profiles.vlmevalkit import mmbench


def test_circular_credits_answers(check, as_rotations):
    check(lambda rows: mmbench.circular_credits(as_rotations(rows)), "circular_credits")


def test_circular_credits_with_a_judge_answers(check, as_rotations):
    check(lambda rows: mmbench.circular_credits(as_rotations(rows), has_judge=True), "circular_credits_judge")
