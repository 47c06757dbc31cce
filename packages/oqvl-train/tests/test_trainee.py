from __future__ import annotations

from pathlib import Path

import pytest
import tiny_trainee

from oqvl_shards.binding import bind
from oqvl_shards.dataset import open_dataset
from oqvl_shards.errors import ConfigError
from oqvl_train.trainee import Batch, Trainee


def bound(path: str, inputs: tuple[Path, Path], **options: object) -> Trainee:
    details = open_dataset(inputs[1]).manifest.details
    return bind(path, Trainee, inputs[0], details, key="trainee", options=options)


def test_a_dotted_path_becomes_a_trainee(inputs: tuple[Path, Path]) -> None:
    trainee = bound("tiny_trainee:TinyTrainee", inputs, dropout=0.25)
    assert isinstance(trainee, Trainee)
    assert isinstance(trainee, tiny_trainee.TinyTrainee)
    assert trainee.model.dropout.p == 0.25


def test_what_a_trainee_lacks_is_named(inputs: tuple[Path, Path]) -> None:
    expected = "NotATrainee without collate, loss, num_flops, replicated_modules, save, shard_units"
    with pytest.raises(ConfigError, match=f"makes a {expected}"):
        bound("tiny_trainee:NotATrainee", inputs)


def test_the_tiny_batch_is_a_batch() -> None:
    members = {name for name in vars(Batch) if not name.startswith("_")}
    assert members <= set(dir(tiny_trainee.TinyBatch))
