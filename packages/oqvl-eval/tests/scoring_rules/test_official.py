from __future__ import annotations

import pytest

from oqvl_eval.scoring_rules.official import choose_seedbench


@pytest.mark.parametrize(
    ("task", "output", "credit", "read"),
    [
        ("gqa", "A dog.", 1.0, "a dog"),
        ("mantis", "The answer is B", 1.0, "B"),
        ("mantis", "Because", 1.0, "B"),
        ("mathvista", "1.2", 1.0, "1.2"),
        ("mathvista", "1.2 cm", 0.0, ""),
        ("mmbench", "The answer is B", 1.0, "B"),
        ("mmbench", "Cannot determine the answer", 0.0, ""),
        ("mmmu", "(B)", 1.0, "B"),
        ("mmmu", "well", 0.25, ""),
        ("mmstar", "Because", 1.0, "B"),
        ("mtvqa", "Der Hund.", 1.0, "Hund"),
        ("pope", "NO", 0.0, "yes"),
        ("pope", "There is not one.", 1.0, "no"),
        ("scienceqa", "The answer is B.", 1.0, "B"),
        ("seedbench", "B.", 0.0, "B."),
        ("textvqa", "Red", pytest.approx((2 * 1 / 3 + 8 * 2 / 3) / 10), "red"),
    ],
)
def test_known_answers(judged, task, output, credit, read):
    verdict = judged("official", task, output)
    assert (verdict.credit, verdict.reading.answer) == (credit, read)


def test_what_the_judge_must_extract(judged):
    assert judged("official", "mathvista", "1.2 cm").needs_judge
    assert judged("official", "mmbench", "Cannot determine the answer").reading.status == "refused"


def test_the_lowest_loss_is_the_highest_likelihood():
    assert choose_seedbench([-3.0, -1.0, -1.0]) == 1
