import importlib
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from oqvl_shards.errors import (
    INTERRUPTED_EXIT_CODE,
    ConfigError,
    DataError,
    HardwareError,
    MissingExtraError,
    OqvlError,
)
from oqvl_shards.shard_map import Engine, map_shards
from oqvl_shards.tar.sample import RejectReason, SampleError

HANG_SECONDS = 600
"""Guards against hanging only; a busy machine needs longer than a quiet one."""


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


@pytest.mark.parametrize("error", [ConfigError("no such model"), HardwareError("no such device")])
def test_what_no_item_is_to_blame_for_names_none(error: OqvlError):
    def fail(item: int) -> None:
        raise error

    with pytest.raises(type(error), match=f"^{error.message}$"):
        map_shards(fail, [1, 2])


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


@pytest.mark.parametrize("message", ["no_text is what 7 says", "7 is odd", "7: odd"])
def test_an_error_that_names_its_item_first_does_not_name_it_twice(message):
    def fail(item):
        raise DataError(message)

    with pytest.raises(DataError) as caught:
        map_shards(fail, [7])
    assert caught.value.message == (message if message.startswith("7") else f"7: {message}")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_bug_names_its_item_too(functions, num_workers):
    with pytest.raises(ZeroDivisionError) as caught:
        map_shards(functions.divide, [1, 0], num_workers=num_workers)
    assert "while working on 0" in caught.value.__notes__


def test_a_dead_worker_is_reported(functions):
    with pytest.raises(HardwareError, match="a worker process died") as caught:
        map_shards(functions.die, [1, 2], num_workers=2)
    assert "fewer workers" in caught.value.hint


PREPARED = """
import shard_functions

from oqvl_shards.shard_map import map_shards, prepare_workers

if __name__ == "__main__":
    prepare_workers("costly", num_workers=2)
    print(map_shards(shard_functions.has_imported_before, ["costly"] * 4, num_workers=2))
"""


def test_what_workers_need_is_imported_once_for_all_of_them(tmp_path):
    (tmp_path / "costly.py").touch()
    (tmp_path / "script.py").write_text(PREPARED)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parent}"}
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "[True, True, True, True]\n"


INTERRUPTED = """
import signal
from functools import partial
from pathlib import Path

import shard_functions

from oqvl_shards.errors import run_cli
from oqvl_shards.shard_map import map_shards, prepare_workers

if __name__ == "__main__":
    # A shell starts background jobs with Ctrl-C ignored, and the tests may be one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    prepare_workers({module!r}, num_workers=2)
    run_cli(partial(map_shards, partial(shard_functions.hang, directory=Path({directory!r})), [1, 2], num_workers=2))
"""


@pytest.mark.parametrize("module", ["shard_functions", "slow_start"])
def test_ctrl_c_ends_workers_at_once_and_without_a_word(tmp_path, module):
    directory = tmp_path / "begun"
    directory.mkdir()
    (tmp_path / "slow_start.py").write_text(
        f"import time\nfrom pathlib import Path\n(Path({str(directory)!r}) / 'start').touch()\ntime.sleep(1)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED.format(module=module, directory=str(directory)))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parent}"}
    process = subprocess.Popen(
        [sys.executable, script], stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        while not any(directory.iterdir()):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=HANG_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert stderr.splitlines() == ["interrupted; run the same command again to resume from the finished work"]
    assert process.returncode == INTERRUPTED_EXIT_CODE


ORPHANED = """
from functools import partial
from pathlib import Path

import shard_functions

from oqvl_shards.shard_map import map_shards

if __name__ == "__main__":
    map_shards(partial(shard_functions.hang, directory=Path({directory!r})), [1, 2], num_workers=2)
"""


def is_running(process: int) -> bool:
    """Return whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_busy_workers_end_with_a_parent_that_is_killed(tmp_path):
    directory = tmp_path / "begun"
    directory.mkdir()
    script = tmp_path / "script.py"
    script.write_text(ORPHANED.format(directory=str(directory)))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, script], env=environment, start_new_session=True)
    try:
        while len(workers := [path.read_text() for path in directory.iterdir()]) < 2 or not all(workers):
            assert process.poll() is None
            time.sleep(0.01)
        assert all(is_running(int(worker)) for worker in workers)
        process.kill()
        process.wait()
        # The workers would hang for ten minutes; the guard only keeps a failure from taking as long.
        guard = time.monotonic() + 120
        while any(is_running(int(worker)) for worker in workers) and time.monotonic() < guard:
            time.sleep(0.01)
        assert not any(is_running(int(worker)) for worker in workers)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
class TestRay:
    """What the local engine promises, on a cluster."""

    def test_results_come_in_order(self, functions, tmp_path):
        results = map_shards(partial(functions.record, directory=tmp_path), range(20), engine=Engine.RAY)
        assert [value for value, _ in results] == [item * item for item in range(20)]
        assert os.getpid() not in {pid for _, pid in results}
        assert map_shards(functions.divide, [], engine=Engine.RAY) == []

    def test_an_error_keeps_its_type_names_its_item_and_stops_the_rest(self, functions, tmp_path):
        with pytest.raises(DataError) as caught:
            map_shards(
                partial(functions.fail_at_two, directory=tmp_path),
                range(2000),
                engine=Engine.RAY,
                name="shard-{}".format,
            )
        assert (caught.value.message, caught.value.hint) == ("shard-2: digest differs", "copy it again")
        assert len(list(tmp_path.iterdir())) < 2000

    def test_a_bug_names_its_item_too(self, functions):
        with pytest.raises(ZeroDivisionError) as caught:
            map_shards(functions.divide, [1, 0], engine=Engine.RAY)
        assert "while working on 0" in caught.value.__notes__

    def test_a_dead_worker_is_reported(self, functions):
        with pytest.raises(HardwareError, match="a worker process died"):
            map_shards(functions.die, [1], engine=Engine.RAY)


def test_ray_is_asked_for_by_its_extra(monkeypatch, functions):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError) as caught:
        map_shards(functions.divide, [1], engine=Engine.RAY)
    assert "oqvl-shards[ray]" in caught.value.hint
