from __future__ import annotations

import torch

from oqvl_filter.dfn.correlation import Moments, canonical_directions


def correlated_views(num_pairs: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Views with one shared signal of correlation 0.9, mixed with noise of other sizes."""
    generator = torch.Generator().manual_seed(3)
    signal, *noise = torch.randn(6, num_pairs, generator=generator, dtype=torch.float64)
    x = torch.stack([signal + 5 * noise[0], 5 * noise[0], noise[1]], dim=1)
    y = torch.stack([noise[2], 0.9 * signal + 0.19**0.5 * noise[3]], dim=1)
    return x, y


def test_the_shared_signal_is_found_behind_larger_noise():
    x, y = correlated_views()
    x_map, y_map = canonical_directions(Moments.of(x, y), 1e-6, 1e-6, 2)
    correlations = [torch.corrcoef(torch.stack([x @ x_map[:, k], y @ y_map[:, k]]))[0, 1].item() for k in range(2)]
    assert abs(correlations[0] - 0.9) < 0.02
    assert abs(correlations[1]) < 0.1


def test_a_direction_weighs_as_much_as_it_correlates():
    x, y = correlated_views()
    x_map, y_map = canonical_directions(Moments.of(x, y), 1e-9, 1e-9, 1)
    for embedding in (x @ x_map, y @ y_map):
        assert abs(embedding.square().mean().item() - 0.9) < 0.05


def test_moments_of_parts_add_up():
    x, y = correlated_views(100)
    whole, parts = Moments.of(x, y, 2.0), Moments.of(x[:30], y[:30], 2.0) + Moments.of(x[30:], y[30:], 2.0)
    assert whole.weight == parts.weight == 200
    for name in ("xx_XX", "xy_XY", "yy_YY"):
        assert torch.allclose(getattr(whole, name), getattr(parts, name))


def test_a_ridge_keeps_noise_from_being_learned_by_heart():
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2, 40, 60, generator=generator, dtype=torch.float64)).unbind()
    by_heart, cautious = (canonical_directions(Moments.of(x, y), ridge, ridge, 1) for ridge in (1e-6, 10.0))
    fits = [(x @ a).square().mean().item() for a, _ in (by_heart, cautious)]
    assert fits[0] > 0.9
    assert fits[1] < 0.2


def test_directions_beyond_the_rank_are_nothing_rather_than_rounding_errors():
    """Four distinct pairs hold four correlations; forty directions are asked for, and no error blows up among them."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(4, 60, generator=generator, dtype=torch.float64).repeat(10, 1) for _ in range(2))
    four_x, four_y = canonical_directions(Moments.of(x, y), 0.1, 0.1, 4)
    x_map, y_map = canonical_directions(Moments.of(x, y), 0.1, 0.1, 40)
    assert (four_x.norm(dim=0) > 0.01).all() and (four_y.norm(dim=0) > 0.01).all()
    assert torch.equal(x_map[:, :4], four_x) and torch.equal(y_map[:, :4], four_y)
    assert not x_map[:, 4:].any() and not y_map[:, 4:].any()
