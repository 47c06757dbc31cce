from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from oqvl_train.config import TrainConfig
from oqvl_train.optimizer import Optimizer


def make_config(**changes: Any) -> TrainConfig:
    values = {"checkpoint": "a", "packed": "b", "output": "c", "trainee": "d:E", "weight_decay": 0.1}
    return TrainConfig.model_validate(values | changes)


def make_model() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2, bias=False))
    model[2].requires_grad_(False)
    return model


@pytest.fixture
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return make_model()


def backward(model: nn.Sequential, factor: float = 1.0) -> Tensor:
    loss = (model(torch.linspace(-1, 1, 20).reshape(5, 4)) ** 2).sum() * factor
    loss.backward()
    return loss.detach()


def step(optimizer: Optimizer, loss_sum: Tensor, num_targets: int = 5, divisor: int = 1) -> tuple[float, float]:
    update = optimizer.step(0.1, loss_sum=loss_sum, num_targets=torch.tensor(float(num_targets)), divisor=divisor)
    return update.grad_norm.item(), update.is_skipped.item()


def copy_of(model: nn.Sequential) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_it_is_adamw_on_the_clipped_mean_gradient(model: nn.Sequential) -> None:
    expected = make_model()
    expected.load_state_dict(model.state_dict())
    decayed = [parameter for parameter in expected[0].parameters() if parameter.ndim == 2]
    vectors = [parameter for parameter in expected[:2].parameters() if parameter.ndim == 1]
    reference = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], lr=0.1, foreach=False
    )
    optimizer = Optimizer(model, make_config(clip_norm=0.05))
    for _ in range(4):
        norm, is_skipped = step(optimizer, backward(model))
        backward(expected)
        for parameter in [*decayed, *vectors]:
            assert parameter.grad is not None
            parameter.grad /= 5
        reference_norm = torch.nn.utils.clip_grad_norm_([*decayed, *vectors], 0.05)
        reference.step()
        reference.zero_grad()
        assert reference_norm > 0.05
        assert norm == pytest.approx(reference_norm.item(), rel=1e-5)
        assert not is_skipped
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=1e-5, atol=1e-7)


def test_what_was_divided_already_is_multiplied_back(model: nn.Sequential) -> None:
    before = copy_of(model)
    whole = Optimizer(model, make_config(clip_norm=0.0))
    norm, _ = step(whole, backward(model))
    expected = copy_of(model)
    model.load_state_dict(before)
    divided = Optimizer(model, make_config(clip_norm=0.0))
    assert step(divided, backward(model, 1 / 4), divisor=4)[0] == pytest.approx(norm, rel=1e-5)
    for name, tensor in expected.items():
        torch.testing.assert_close(model.state_dict()[name], tensor)


def test_frozen_parameters_have_no_state(model: nn.Sequential) -> None:
    optimizer = Optimizer(model, make_config())
    assert set(optimizer.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    before = model.get_parameter("2.weight").clone()
    step(optimizer, backward(model))
    assert model.get_parameter("2.weight").equal(before)
    assert model.get_parameter("2.weight").grad is None


def test_vectors_do_not_decay(model: nn.Sequential) -> None:
    groups = Optimizer(model, make_config()).adamw.param_groups
    assert [(group["weight_decay"], {parameter.ndim for parameter in group["params"]}) for group in groups] == [
        (0.1, {2}),
        (0.0, {1}),
    ]


@pytest.mark.parametrize(("policy", "later_steps_count"), [("stop", False), ("skip", True)])
def test_a_step_that_is_not_finite_changes_nothing(policy: str, later_steps_count: bool, model: nn.Sequential) -> None:
    optimizer = Optimizer(model, make_config(on_nonfinite=policy))
    step(optimizer, backward(model))
    before = copy_of(model)
    moments = {
        name: {key: value.clone() for key, value in state.items()} for name, state in optimizer.state_dict().items()
    }
    for loss_sum in (backward(model, float("nan")), backward(model) * float("inf")):
        assert step(optimizer, loss_sum)[1] == 1.0
    assert all(model.state_dict()[name].equal(tensor) for name, tensor in before.items())
    for name, values in optimizer.state_dict().items():
        assert all(value.equal(moments[name][key]) for key, value in values.items())
    assert step(optimizer, backward(model))[1] == (0.0 if later_steps_count else 1.0)
    assert model.get_parameter("0.weight").equal(before["0.weight"]) != later_steps_count


def test_a_batch_without_targets_does_not_divide_by_zero(model: nn.Sequential) -> None:
    optimizer = Optimizer(model, make_config())
    assert step(optimizer, backward(model, 0.0), num_targets=0) == (0.0, 0.0)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_a_parameter_without_gradient_is_treated_as_one_with_a_zero_gradient(model: nn.Sequential) -> None:
    optimizer = Optimizer(model, make_config())
    step(optimizer, backward(model))
    before = optimizer.state_dict()["1.bias"]["exp_avg"].clone()
    step(optimizer, torch.tensor(0.0))
    torch.testing.assert_close(optimizer.state_dict()["1.bias"]["exp_avg"], before * 0.9)
