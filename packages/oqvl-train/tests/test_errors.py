from __future__ import annotations

import pickle

from oqvl_shards.errors import OqvlError
from oqvl_train.errors import TrainingInterruptedError


def test_an_interruption_asks_to_be_tried_again_and_survives_a_process_boundary() -> None:
    error = TrainingInterruptedError("stopped", hint="again")
    assert isinstance(error, OqvlError)
    assert error.exit_code == 75
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.message, copy.hint) == (TrainingInterruptedError, "stopped", "again")
