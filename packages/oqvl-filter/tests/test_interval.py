from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oqvl_filter.interval import Z_95, wilson_interval

counts = st.floats(1, 1e6)
shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [
        # Wilson's interval by hand: for 10 of 10 the lower end is n / (n + z^2).
        (1.0, 10, (10 / (10 + Z_95**2), 1.0)),
        (0.0, 10, (0.0, Z_95**2 / (10 + Z_95**2))),
        # Brown, Cai and DasGupta (2001) use n = 20 with 7 hits as their example of this size.
        (0.35, 20, (0.1812, 0.5671)),
        (0.5, 1e12, (0.5, 0.5)),
    ],
)
def test_known_intervals(share: float, count: float, expected: tuple[float, float]):
    assert wilson_interval(share, count) == pytest.approx(expected, abs=1e-4)


@given(shares, counts)
def test_an_interval_holds_its_share_and_stays_a_share(share: float, count: float):
    low, high = wilson_interval(share, count)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1


@given(shares, counts, st.floats(1.1, 10))
def test_more_samples_narrow_an_interval(share: float, count: float, factor: float):
    low, high = wilson_interval(share, count)
    closer_low, closer_high = wilson_interval(share, count * factor)
    assert closer_high - closer_low < high - low


@given(shares, counts)
def test_hits_and_misses_are_mirror_images(share: float, count: float):
    low, high = wilson_interval(share, count)
    assert wilson_interval(1 - share, count) == pytest.approx((1 - high, 1 - low), abs=1e-9)
