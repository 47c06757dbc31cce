"""What the tests map over items; a worker process must be able to import it."""

import os
import sys
import time
from pathlib import Path

from oqvl_shards.errors import DataError
from oqvl_shards.tar.sample import RejectReason, SampleError


def record(item: int, directory: Path) -> tuple[int, int]:
    (directory / str(item)).touch()
    return item * item, os.getpid()


def fail_at_two(item: int, directory: Path) -> int:
    (directory / str(item)).touch()
    if item == 2:
        raise DataError("digest differs", hint="copy it again")
    time.sleep(0.6)  # two workers would take ten minutes for 2000 items: the failure is seen long before
    return item


def reject(item: int) -> int:
    raise SampleError(RejectReason.NO_TEXT, "nothing")


def divide(item: int) -> float:
    return 1 / item


def has_imported_before(module: str) -> bool:
    return module in sys.modules


def hang(item: int, directory: Path) -> None:
    (directory / str(item)).write_text(str(os.getpid()))
    time.sleep(3600)  # longer than any test waits


def die(item: int) -> None:
    os._exit(9)
