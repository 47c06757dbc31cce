from __future__ import annotations

import pytest

from oqvl_eval.scoring_rules.paper import choose_most_likely
from oqvl_eval.scoring_rules.registry import PROFILES


@pytest.mark.parametrize(
    ("task", "output", "credit", "read"),
    [
        ("gqa", "A dog.", 1.0, "a dog"),
        ("mantis", "A and B", 1.0, "B"),
        ("mathvista", "1.2", 1.0, "1.2"),
        ("mmbench", "probably", 1.0, "B"),
        ("mmmu", "well", 0.25, ""),
        ("mmstar", "probably", 0.0, ""),
        ("pope", "No.", 1.0, "no"),
        ("pope", "No!", 0.0, ""),
        ("seedbench", "A, B, C or D", 1.0, "B"),
        ("textvqa", "dark\nred", 0.0, "darkred"),
        ("vizwiz", "Red", pytest.approx((2 * 1 / 3 + 8 * 2 / 3) / 10), "red"),
        ("vqav2", "dark red", 0.0, "dark red"),
    ],
)
def test_known_answers(judged, task, output, credit, read):
    verdict = judged("paper", task, output)
    assert (verdict.credit, verdict.reading.answer) == (credit, read)


def test_of_equal_options_the_first_is_chosen():
    assert choose_most_likely([-2.0, -1.0, -1.0]) == 1


@pytest.mark.parametrize("task", ["vqav2", "vizwiz"])
def test_accuracies_are_rounded_to_two_decimals_of_a_percentage(judged, task):
    verdicts = [judged("paper", task, output) for output in ("red", "blue", "green")]
    assert PROFILES["paper"].tasks[task].aggregate(verdicts).values == {"accuracy": 0.2}
