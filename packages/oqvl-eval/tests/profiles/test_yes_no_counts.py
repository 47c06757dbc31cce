from __future__ import annotations

import math

import pytest

from oqvl_eval.profiles.yes_no_counts import YesNoCounts


def test_figures():
    counts = YesNoCounts.of([(True, True), (True, True), (True, False), (False, True), (False, False)])
    assert counts == YesNoCounts(2, 1, 1, 1)
    assert (counts.precision(), counts.recall()) == (2 / 3, 2 / 3)
    assert counts.f1() == pytest.approx(2 / 3)


def test_undefined_figures():
    nothing_said = YesNoCounts.of([(False, False)])
    assert math.isnan(nothing_said.precision())
    assert math.isnan(nothing_said.recall())
    assert math.isnan(nothing_said.f1())
    assert nothing_said.f1(undefined=0.0) == 0.0
    assert math.isnan(YesNoCounts.of([(True, False), (False, True)]).f1())
