from __future__ import annotations

from oqvl_eval.profiles.lmms import mmbench
from oqvl_eval.profiles.markers import NeedsJudge
from oqvl_eval.profiles.rotation import Rotation


def test_infer_letter_answers(check):
    check(mmbench.infer_letter)


def test_infer_option_answers(check):
    check(mmbench.infer_option)


def test_circular_credits_answers(check, as_rotations):
    check(lambda rows: mmbench.circular_credits(as_rotations(rows)), "circular_credits")


def test_circular_credits_of_the_static_task_answers(check, as_rotations):
    check(lambda rows: mmbench.circular_credits(as_rotations(rows), static=True), "circular_credits_static")


def test_bugs_of_the_inference():
    assert mmbench.infer_letter("E") == "E"
    assert mmbench.infer_letter("A is the one") is None
    assert mmbench.infer_letter("A. is the one") == "A"
    assert mmbench.infer_text("a banana", {"A": "nan", "B": "fig"}) == "A"


def test_only_the_default_task_asks_a_judge():
    rotations = [Rotation(1, "It is B1", {"A": "cat", "B": "dog"}, "B")]
    assert mmbench.question_credit(rotations) == NeedsJudge()
    assert mmbench.question_credit(rotations, static=True) == 1.0
