from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import adaptive_avg_pool2d

from oqvl_model.projector import AveragePool, Projector
from oqvl_shards.errors import ConfigError


def reference(features_NPD, grid_size, side):
    maps = features_NPD.transpose(1, 2).unflatten(2, (grid_size, grid_size))
    return adaptive_avg_pool2d(maps, side).flatten(2).transpose(1, 2)


@given(st.integers(1, 12).flatmap(lambda grid: st.tuples(st.just(grid), st.integers(1, grid))))
def test_pooling_is_adaptive_average_pooling(sizes):
    grid_size, side = sizes
    features = torch.randn(2, grid_size**2, 3, generator=torch.Generator().manual_seed(grid_size))
    pooled = AveragePool(grid_size, side**2)(features)
    torch.testing.assert_close(pooled, reference(features, grid_size, side), atol=1e-6, rtol=1e-5)


def test_the_original_pools_729_features_to_144():
    features = torch.randn(1, 729, 4, generator=torch.Generator().manual_seed(0))
    pool = AveragePool(27, 144)
    assert pool.matrix_VP is not None
    assert pool.matrix_VP.shape == (144, 729)
    torch.testing.assert_close(pool(features), reference(features, 27, 12), atol=5e-7, rtol=1e-5)


def test_a_map_of_24_pools_to_144_tokens_of_four_features_each():
    features = torch.randn(1, 576, 4, generator=torch.Generator().manual_seed(0))
    pool = AveragePool(24, 144)
    assert pool.matrix_VP is not None
    assert ((pool.matrix_VP == 0.25).sum(1) == 4).all()
    assert ((pool.matrix_VP != 0).sum(0) == 1).all()
    maps = features.transpose(1, 2).unflatten(2, (24, 24))
    expected = torch.nn.functional.avg_pool2d(maps, 2).flatten(2).transpose(1, 2)
    torch.testing.assert_close(pool(features), expected, atol=5e-7, rtol=1e-5)


@given(st.lists(st.sampled_from([1, 4, 9, 16]), min_size=1, max_size=6))
def test_each_image_is_pooled_to_its_own_number_in_order(image_tokens):
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(len(image_tokens), 16, 3, generator=generator, requires_grad=True)
    pooled = AveragePool(4, 4).pool_each(features, image_tokens)
    expected = [AveragePool(4, number)(features[i : i + 1])[0] for i, number in enumerate(image_tokens)]
    torch.testing.assert_close(pooled, torch.cat(expected), atol=1e-6, rtol=1e-5)


def test_no_image_is_pooled_to_no_token():
    features = torch.zeros(0, 16, 3, requires_grad=True)
    pooled = AveragePool(4, 4).pool_each(features, [])
    assert pooled.shape == (0, 3)
    assert pooled.requires_grad
    with pytest.raises(ConfigError, match="visual_tokens_per_image is 5"):
        AveragePool(4, 4).pool_each(torch.zeros(1, 16, 3), [5])


def test_as_many_tokens_as_features_is_the_identity():
    features = torch.randn(1, 729, 4)
    assert AveragePool(27, 729)(features) is features


@pytest.mark.parametrize("num_tokens", [0, -4, 3, 145, 784])
def test_numbers_that_are_no_square_or_too_large_are_refused(num_tokens):
    with pytest.raises(ConfigError, match="visual_tokens_per_image"):
        AveragePool(27, num_tokens)


def test_the_matrix_is_not_saved():
    assert AveragePool(4, 4).state_dict() == {}


@pytest.mark.parametrize("hidden_size", [None, 24])
def test_the_projector_pools_and_then_maps_each_token_by_itself(make_config, hidden_size):
    projector = Projector(make_config(projector_hidden_size=hidden_size))
    assert projector.linear_1.weight.shape == (hidden_size or 32, 16)
    assert projector.linear_2.weight.shape == (32, hidden_size or 32)
    features = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(1))
    tokens = projector(features)
    assert tokens.shape == (2, 4, 32)
    pooled = reference(features, 4, 2)
    for token in range(4):
        one = projector.linear_2(torch.nn.functional.gelu(projector.linear_1(pooled[:, token])))
        torch.testing.assert_close(tokens[:, token], one, atol=1e-6, rtol=1e-5)


def test_a_visual_token_sees_its_corner_of_the_map_only(make_config):
    projector = Projector(make_config())
    features = torch.zeros(1, 16, 16)
    before = projector(features)
    features[0, 0] = 1  # the top left of 4 x 4 features is in the first of 2 x 2 tokens
    changed = (projector(features) != before).any(dim=-1)[0]
    assert changed.tolist() == [True, False, False, False]
