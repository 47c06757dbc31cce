from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_train.schedule import Schedule


def test_known_values() -> None:
    schedule = Schedule(peak=1.0, num_steps=10, warmup_fraction=0.2, min_ratio=0.1)
    rates = [schedule.learning_rate(step) for step in range(1, 12)]  # one more than the run has
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.1 + 0.9 / 2)
    assert rates[10] == pytest.approx(0.1)


def test_the_original_warms_up_for_three_percent() -> None:
    assert Schedule(peak=5e-5, num_steps=4770, warmup_fraction=0.03, min_ratio=0.0).num_warmup_steps == 144


@given(
    num_steps=st.integers(1, 200),
    warmup_fraction=st.floats(0, 0.99),
    min_ratio=st.floats(0, 1),
)
def test_it_rises_then_falls_between_its_bounds(num_steps: int, warmup_fraction: float, min_ratio: float) -> None:
    schedule = Schedule(2.0, num_steps, warmup_fraction, min_ratio)
    rates = [schedule.learning_rate(step) for step in range(1, num_steps + 1)]
    top = max(schedule.num_warmup_steps - 1, 0)
    assert all(0.0 < rate <= 2.0 for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[top] == 2.0
    assert all(rate >= 2.0 * min_ratio - 1e-12 for rate in rates[top:])
