from __future__ import annotations

import pytest

from oqvl_eval import Item
from oqvl_eval.scoring_rules.vlmevalkit import RULES


@pytest.mark.parametrize(
    ("task", "output", "credit", "read"),
    [
        ("ai2d", "the dog? a dog", 1.0, "B"),
        ("gqa", "A Dog", 1.0, "a dog"),
        ("mathvista", "1.2", 1.0, "1.2"),
        ("mmbench", "B", 1.0, "B"),
        ("mmmu", "well", 0.0, ""),
        ("mmstar", "the answer is difficult", 0.0, "D"),
        ("mtvqa", "Der Hund.", 1.0, "Hund"),
        ("pope", "No, there is no dog", 1.0, "no"),
        ("pope", "Yes and no", 0.0, ""),
        ("vcr", "Assistant: of course", 0.5, "Assistant: of course"),
        ("vqav2", "dark red", 1.0, "dark red"),
    ],
)
def test_known_answers(judged, task, output, credit, read):
    verdict = judged("vlmevalkit", task, output)
    assert (verdict.credit, verdict.reading.answer) == (credit, read)


def test_a_refusal_is_the_letter_z(judged):
    assert judged("vlmevalkit", "seedbench", "Z").reading.status == "refused"


def test_mathvista_cannot_do_without_a_judge(judged):
    verdict = judged("vlmevalkit", "mathvista", "1.3")
    assert (verdict.needs_judge, verdict.reading.rule) == (True, "judge_model")


@pytest.mark.parametrize(("output", "credit"), [("It is 12", 1.0), ("13", 0.0)])
def test_open_answers_of_mmmu_contain_the_gold(judged, output, credit):
    assert judged("vlmevalkit", "mmmu", output, Item("1", "1", ("?",), (), "12")).credit == credit


def test_languages_and_all_answers_are_fractions(judged):
    verdicts = [judged("vlmevalkit", "mtvqa", output) for output in ("Hund", "Katze")]
    assert RULES.tasks["mtvqa"].aggregate(verdicts).values == {"DE": 0.5, "Average": 0.5}
