from __future__ import annotations

import pytest

from oqvl_eval import Item
from oqvl_eval.scoring_rules.lmms import RULES


@pytest.mark.parametrize(
    ("task", "output", "credit", "read"),
    [
        ("ai2d", "B. a dog", 1.0, "B"),
        ("ai2d", "<think>A.</think>(b)", 1.0, "B"),
        ("gqa", "A dog!", 1.0, "a dog"),
        ("mantis", "<think>A</think> Because", 1.0, "B"),
        ("mathvista", "1.2", 0.0, ""),
        ("mmbench", "B", 1.0, "B"),
        ("mmbench", "A, of course", 0.0, "A"),
        ("mmmu", "well", 0.25, ""),
        ("mmmu", "<think>A</think>B", 1.0, "B"),
        ("mmstar", "(B)", 1.0, "B"),
        ("mtvqa", "Der Hund.", 1.0, "Hund"),
        ("pope", "No.", 0.0, ""),
        ("pope", " NO", 1.0, "no"),
        ("realworldqa", "It is (B).", 1.0, "B"),
        ("scienceqa", "B. a dog", 1.0, "B"),
        ("scienceqa", "The answer is B", 0.0, ""),
        ("seedbench", "Because", 1.0, "B"),
        ("textvqa", "dark red", 1.0, "dark red"),
        ("vcr", "of course the end", 1.0, "of course the end"),
        ("vqav2", "red", pytest.approx((2 * 1 / 3 + 8 * 2 / 3) / 10), "red"),
    ],
)
def test_known_answers(judged, task, output, credit, read):
    verdict = judged("lmms", task, output)
    assert (verdict.credit, verdict.reading.answer) == (credit, read)


def test_what_the_judge_must_read(judged):
    assert judged("lmms", "mmbench", "well").needs_judge
    assert judged("lmms", "mathvista", "1.2 cm").needs_judge


def test_open_answers_of_mmmu_are_wrong(judged):
    assert judged("lmms", "mmmu", "12", Item("1", "1", ("?",), (), "12")).credit == 0.0


def test_an_accuracy_of_zero_is_missing(judged):
    wrong = [judged("lmms", "mathvista", "1.2")]
    assert RULES.tasks["mathvista"].aggregate(wrong).values == {"accuracy": None}


def test_mmstar_is_the_mean_over_subcategories(judged, items):
    other = Item("2", "2", ("?",), ("x", "y"), "A", metadata={"l2_category": "other"})
    verdicts = [judged("lmms", "mmstar", *answer) for answer in (("B",), ("B",), ("B", other))]
    assert RULES.tasks["mmstar"].aggregate(verdicts).values == {"average": 0.5}
