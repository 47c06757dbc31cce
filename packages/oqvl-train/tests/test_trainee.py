from __future__ import annotations

from pathlib import Path

import pytest
import tiny_trainee

from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_shards.manifest import PackedDetails
from oqvl_train.trainee import Trainee, load_trainee


@pytest.fixture
def packed(inputs: tuple[Path, Path]) -> PackedDetails:
    details = open_dataset(inputs[1]).manifest.details
    assert isinstance(details, PackedDetails)
    return details


def test_a_dotted_path_becomes_a_trainee(inputs: tuple[Path, Path], packed: PackedDetails) -> None:
    trainee = load_trainee("tiny_trainee:TinyTrainee", inputs[0], packed, {"dropout": 0.25})
    assert isinstance(trainee, Trainee)
    assert isinstance(trainee, tiny_trainee.TinyTrainee)
    assert trainee.model.dropout.p == 0.25


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("no_such_package.module:Name", {}, "trainee no_such_package.module:Name: no module no_such_package"),
        ("tiny_trainee:Nothing", {}, "trainee tiny_trainee:Nothing: module tiny_trainee has no Nothing"),
        ("tiny_trainee:TinyTrainee", {"droput": 1}, "does not take trainee_options ['droput']"),
        (
            "tiny_trainee:NotATrainee",
            {},
            "made a NotATrainee without collate, loss, num_flops, replicated_modules, save, shard_units",
        ),
    ],
)
def test_what_is_wrong_with_it_is_named(
    path: str, options: dict[str, object], message: str, inputs: tuple[Path, Path], packed: PackedDetails
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_trainee(path, inputs[0], packed, options)
    assert message in str(caught.value)


def test_an_error_inside_the_factory_is_its_own(inputs: tuple[Path, Path], packed: PackedDetails) -> None:
    with pytest.raises(FileNotFoundError):
        load_trainee("tiny_trainee:TinyTrainee", inputs[0] / "missing", packed, {})


def test_the_tiny_batch_is_a_batch() -> None:
    assert {"to", "pin_memory"} <= set(dir(tiny_trainee.TinyBatch))
