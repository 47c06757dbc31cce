from __future__ import annotations

import pytest

from oqvl_eval import Item
from oqvl_eval.scoring_rules.lm_eval import RULES

OPEN = Item("1", "1", ("?",), (), "12")


@pytest.mark.parametrize(
    ("output", "item", "credit", "read"),
    [("(B)", None, 1.0, "B"), ("well", None, 0.25, ""), ("It is 12", OPEN, 1.0, "12.0")],
)
def test_known_answers(judged, output, item, credit, read):
    verdict = judged("lm_eval", "mmmu", output, item)
    assert (verdict.credit, verdict.reading.answer) == (credit, read)


def test_subjects_are_weighted_by_their_answers(judged):
    verdicts = [judged("lm_eval", "mmmu", output) for output in ("B", "A", "well")]
    assert RULES.tasks["mmmu"].aggregate(verdicts).values == {"accuracy": pytest.approx(1.25 / 3)}
