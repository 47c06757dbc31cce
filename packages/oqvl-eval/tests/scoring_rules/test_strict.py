from __future__ import annotations

import pytest

from oqvl_eval import Item
from oqvl_eval.scoring_rules.strict import choose

INTEGER = Item("1", "1", ("?",), (), "12", metadata={"answer_type": "integer"})
LIST = Item("1", "1", ("?",), (), "[1, 2]", metadata={"answer_type": "list"})


@pytest.mark.parametrize(
    ("task", "output", "credit", "status"),
    [
        ("ai2d", "The answer is B.", 1.0, "read"),
        ("ai2d", "A or B", 0.0, "ambiguous"),
        ("mmstar", "A dog", 1.0, "read"),
        ("gqa", "The dog.", 1.0, "read"),
        ("pope", "No, there is none", 1.0, "read"),
        ("pope", "I don't know", 0.0, "refused"),
        ("textvqa", "Red", pytest.approx((2 * 1 / 3 + 8 * 2 / 3) / 10), "read"),
        ("textvqa", "dark red", 1.0, "read"),
        ("textvqa", "", 0.0, "no_answer"),
        ("mathvista", "It is 1.2 cm", 1.0, "read"),
        ("mathvista", "1.24", 1.0, "read"),
        ("mathvista", "1.26", 0.0, "read"),
        ("vcr", "well of course not", 0.5, "read"),
        ("vcr", "<think>of course</think>", 0.0, "unread"),
    ],
)
def test_known_answers(judged, task, output, credit, status):
    verdict = judged("strict", task, output)
    assert (verdict.credit, verdict.reading.status) == (credit, status)


@pytest.mark.parametrize(("output", "credit"), [("12", 1.0), ("The answer is 12.0", 1.0), ("12.4", 0.0), ("", 0.0)])
def test_whole_numbers_of_mathvista(judged, output, credit):
    assert judged("strict", "mathvista", output, INTEGER).credit == credit


def test_other_answers_of_mathvista_are_texts(judged):
    assert judged("strict", "mathvista", "[1, 2]", LIST).credit == 1.0


def test_options_that_tie_are_not_chosen():
    assert (choose([-1.0, -0.5]), choose([-1.0, -1.0])) == (1, None)
