from __future__ import annotations

import pytest

from oqvl_eval.profiles.lmms.exact_match import exact_match, prepare


@pytest.mark.parametrize(
    ("output", "gold", "credit"),
    [("(A)", "A", 1.0), (" a. ", "A", 1.0), ("A )", "A", 0.0), ("A\0", "A", 1.0), ("Hot-Dog", "hotdog", 1.0)],
)
def test_exact_match(output, gold, credit):
    assert exact_match(output, gold) == credit


def test_the_width_of_a_text_is_kept():
    assert prepare("\u0130b") == "i\u0307"
