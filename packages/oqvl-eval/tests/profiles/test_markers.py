from __future__ import annotations

import pytest

from oqvl_eval.profiles.markers import Draw, letter_credit


@pytest.mark.parametrize(
    ("letter", "gold", "credit"),
    [("A", "A", 1.0), ("A", "B", 0.0), ("A", ["B", "A"], 1.0), (Draw(4), "C", 0.25), (Draw(4), ["A", "B"], 0.5)],
)
def test_letter_credit(letter, gold, credit):
    assert letter_credit(letter, gold, "ABCD") == credit


def test_a_draw_never_picks_a_gold_that_is_no_option():
    assert letter_credit(Draw(4), "E", "ABCD") == 0.0
