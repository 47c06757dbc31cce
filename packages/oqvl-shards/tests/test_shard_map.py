import importlib
import os
from functools import partial
from pathlib import Path

import pytest

from oqvl_shards.errors import DataError, HardwareError
from oqvl_shards.sample import RejectReason, SampleError
from oqvl_shards.shard_map import map_shards


@pytest.fixture
def functions(monkeypatch):
    """The module `shard_functions`, where worker processes find it too."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return importlib.import_module("shard_functions")


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_results_come_in_order(functions, tmp_path, num_workers):
    results = map_shards(partial(functions.record, directory=tmp_path), range(7), num_workers=num_workers)
    assert [value for value, _ in results] == [item * item for item in range(7)]
    assert (os.getpid() in {pid for _, pid in results}) == (num_workers < 2)
    assert len(list(tmp_path.iterdir())) == 7


@pytest.mark.parametrize("num_workers", [0, 2])
def test_nothing_is_nothing(functions, num_workers):
    assert map_shards(functions.divide, [], num_workers=num_workers) == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_names_its_item_and_stops_the_rest(functions, tmp_path, num_workers):
    with pytest.raises(DataError) as caught:
        map_shards(
            partial(functions.fail_at_two, directory=tmp_path),
            range(2000),
            num_workers=num_workers,
            name="shard-{}".format,
        )
    assert (caught.value.message, caught.value.hint) == ("shard-2: digest differs", "copy it again")
    assert len(list(tmp_path.iterdir())) < 2000


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_keeps_its_type(functions, num_workers):
    with pytest.raises(SampleError, match="7: no_text: nothing") as caught:
        map_shards(functions.reject, [7], num_workers=num_workers)
    assert caught.value.reason is RejectReason.NO_TEXT


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_bug_names_its_item_too(functions, num_workers):
    with pytest.raises(ZeroDivisionError) as caught:
        map_shards(functions.divide, [1, 0], num_workers=num_workers)
    assert "while working on 0" in caught.value.__notes__


def test_a_dead_worker_is_reported(functions):
    with pytest.raises(HardwareError, match="a worker process died") as caught:
        map_shards(functions.die, [1, 2], num_workers=2)
    assert "fewer workers" in caught.value.hint
