from __future__ import annotations

import torch

from oqvl_model.feature_cache import FeatureCache


def test_it_keeps_what_fits_and_forgets_nothing():
    cache = FeatureCache(max_bytes=100)
    small, large = torch.zeros(2, 3, 4), torch.zeros(2, 3, 5)
    cache.add(7, small)  # 96 bytes
    cache.add(8, large)
    assert 7 in cache
    assert 8 not in cache
    cache.add(7, small + 1)
    assert torch.equal(cache[7], small)
    cache.add(9, torch.zeros(0, 3, 4))
    assert cache[9].shape == (0, 3, 4)
