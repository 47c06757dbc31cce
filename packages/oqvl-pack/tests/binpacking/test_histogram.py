"""Histograms: what follows from sizes and counts."""

from __future__ import annotations

import numpy as np

from oqvl_pack.binpacking.histogram import Histogram


def test_figures() -> None:
    histogram = Histogram(np.asarray([9, 5, 2]), np.asarray([1, 3, 2]))
    assert (histogram.num_items, histogram.total) == (6, 28)
    # By ascending length: two items of 2, three of 5, one of 9.
    assert histogram.first_positions.tolist() == [5, 2, 0]
