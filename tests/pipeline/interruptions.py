"""Run console commands that are killed, or that compete for one output. A program of its own, for test_interruptions:

    python interruptions.py MODULE... < TRIALS > OUTCOMES

MODULE is a module that the trials need; it is imported once. TRIALS is a JSON list of lists of runs. The runs of one
list start together, each `{"command": text, "delay": seconds, "dies": point, or empty}`. OUTCOMES has for each run its
exit code (negative: the signal that ended it) and what it wrote to stderr. Runs are forked from this process, which
has imported everything, so they really overlap.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from oqvl_shards import atomic, stage_output

POINTS = ("after the first file", "before the manifest", "between manifest and clean-up")
"""Where a run can be killed; `after N seconds` is another way to say it."""


def die(*_: object, **__: object) -> None:
    """End this process as SIGKILL ends it."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point: str) -> None:
    """Arrange for this process to be killed at `point` of the stage that it is going to run."""
    if point == "before the manifest":
        vars(stage_output)["StageOutput"].finish = die
    elif point == "between manifest and clean-up":
        vars(stage_output)["StageOutput"]._remove_leftovers = die
    elif point == "after the first file":
        sync = atomic.sync_directory

        def sync_and_die(directory: Path) -> None:
            sync(directory)
            if any(not path.name.startswith(("claim.", "unfinished.")) for path in directory.iterdir()):
                die()

        atomic.sync_directory = sync_and_die
    elif point:
        _, seconds, _ = point.split()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends a process as abruptly
        signal.setitimer(signal.ITIMER_REAL, float(seconds))


def run(command: str) -> int:
    """Run a console command in this process; return its exit code."""
    script, *arguments = shlex.split(command)
    sys.argv = [script, *arguments]
    try:
        importlib.import_module(f"{script.replace('-', '_')}.cli").main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def start(job: dict[str, Any], at: float, errors: Path) -> int:
    """Fork a process that runs `job` at the time `at`; return its id."""
    child = os.fork()
    if child == 0:
        work_and_exit(job, at, errors)
    return child


def work_and_exit(job: dict[str, Any], at: float, errors: Path) -> None:
    """Run `job` at the time `at` and end this process with its exit code."""
    code = 1
    try:
        for stream, path in ((1, Path(os.devnull)), (2, errors)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        time.sleep(max(0.0, at + job["delay"] - time.monotonic()))
        die_at(job["dies"])
        code = run(job["command"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def race(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run `jobs` at the same time; return their outcomes."""
    with tempfile.TemporaryDirectory() as folder:
        errors = [Path(folder) / str(number) for number in range(len(jobs))]
        at = time.monotonic() + 0.02
        children = [start(job, at, path) for job, path in zip(jobs, errors, strict=True)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        texts = [path.read_text(encoding="utf-8") for path in errors]
    return [{"code": code, "error": text} for code, text in zip(codes, texts, strict=True)]


def main() -> None:
    """Import the modules, run the trials, print their outcomes."""
    for module in sys.argv[1:]:
        importlib.import_module(module)
    print(json.dumps([race(jobs) for jobs in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
