"""A small FSDP2 trainer for packed multimodal sequences with exact resume.

`train` runs the stage and returns a `TrainReport`; a model must implement `Trainee` and `Batch`. The names load lazily:
`import oqvl_train` does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oqvl_shards.lazy_names import lazy_names

if TYPE_CHECKING:
    from oqvl_train.config import TrainConfig
    from oqvl_train.data_order import DataOrder
    from oqvl_train.errors import TrainingInterruptedError
    from oqvl_train.report import TrainReport
    from oqvl_train.run import train
    from oqvl_train.schedule import Schedule
    from oqvl_train.trainee import Batch, Trainee

__all__ = [
    "Batch",
    "DataOrder",
    "Schedule",
    "TrainConfig",
    "TrainReport",
    "Trainee",
    "TrainingInterruptedError",
    "train",
]

__getattr__ = lazy_names(__name__, __file__)
