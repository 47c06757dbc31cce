from __future__ import annotations

from typing import Any

import pytest

from oqvl_shards.errors import ConfigError
from oqvl_train.config import TrainConfig

REQUIRED = {"checkpoint": "init", "packed": "packs", "output": "run", "trainee": "package.module:Name"}


def make(**values: Any) -> TrainConfig:
    return TrainConfig.from_values(REQUIRED | values)


def test_the_defaults_are_the_original_pretraining() -> None:
    config = make()
    assert (config.learning_rate, config.weight_decay, config.global_batch_size) == (5e-5, 0.01, 256)
    assert (config.betas, config.eps, config.clip_norm) == ((0.9, 0.999), 1e-8, 1.0)
    assert (config.warmup_fraction, config.seed, config.precision) == (0.03, 7, "bf16")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_epochs": 1, "max_steps": 5}, "set num_epochs (1) or max_steps (5), not both"),
        ({"betas": [0.9, 1.0]}, "betas must be in [0, 1)"),
        ({"trainee": "package.module"}, "trainee: String should match pattern"),
        ({"device": "tpu"}, "device: String should match pattern"),
        ({"global_batch_size": 0}, "global_batch_size: Input should be greater than 0"),
        ({"clip_norm": float("inf")}, "clip_norm: Input should be a finite number"),
        ({"lr": 1e-3}, "lr: no such field"),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**values)
    assert message in str(caught.value)


def test_how_a_sum_is_computed_is_outside_the_lineage() -> None:
    how = {
        "micro_batch_size": 8,
        "device": "cpu",
        "num_replicas": 2,
        "recompute": "full",
        "compile": True,
        "num_loader_workers": 9,
        "log_every": 1,
        "output": "elsewhere",
    }
    assert make(**how).digest() == make().digest()


@pytest.mark.parametrize(
    "what",
    [{"seed": 8}, {"global_batch_size": 8}, {"precision": "fp32"}, {"max_steps": 9}, {"trainee_options": {"a": 1}}],
    ids=str,
)
def test_what_is_computed_is_inside_the_lineage(what: dict[str, Any]) -> None:
    assert make(**what).digest() != make().digest()


def test_every_field_is_described() -> None:
    assert all(field.description for field in TrainConfig.model_fields.values())
