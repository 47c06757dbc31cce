from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=20), st.integers(0, 400))
def test_the_features_it_keeps_never_take_more_than_it_may(additions, max_bytes):
    cache, kept = FeatureCache(max_bytes), {}
    for pack_id, num_values in additions:
        features = torch.full((num_values,), float(len(kept)))
        fits = sum(one.nbytes for one in kept.values()) + features.nbytes <= max_bytes
        cache.add(pack_id, features)
        if pack_id not in kept and fits:
            kept[pack_id] = features
    assert {pack_id for pack_id in range(6) if pack_id in cache} == set(kept)
    assert all(cache[pack_id] is features for pack_id, features in kept.items())
