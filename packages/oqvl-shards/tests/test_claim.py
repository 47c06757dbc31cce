from __future__ import annotations

import errno
import fcntl
import json
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oqvl_shards.claim import claim
from oqvl_shards.errors import ConfigError

OWNER = """
import os, sys, time
from pathlib import Path
from oqvl_shards.claim import claim
with claim(Path(sys.argv[1]), "oqvl-x make"):
    is_child = bool(sys.argv[2:]) and os.fork() == 0
    if is_child or not sys.argv[2:]:
        print(os.getpid(), flush=True)  # the last one to begin says so
    if is_child:
        time.sleep(3600)  # outlives its parent, with what it has inherited
    sys.stdin.read()
"""


def start_owner(directory: Path, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process, _ = start_owner(tmp_path)
    yield process
    process.kill()
    process.communicate()


def test_a_claim_is_gone_with_its_block(tmp_path: Path) -> None:
    with claim(tmp_path, "oqvl-x make"):
        found = json.loads((tmp_path / "claim.json").read_text(encoding="utf-8"))
        assert (found["tool"], found["pid"], found["host"]) == ("oqvl-x make", os.getpid(), socket.gethostname())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="its own"), claim(tmp_path, "oqvl-x make"):
        raise ValueError("its own")
    with claim(tmp_path, "oqvl-x make"):
        pass


def test_a_second_claim_is_refused_with_the_owner(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    expected = rf"being written by oqvl-x make: process {owner.pid} on {socket.gethostname()}, since 20\d\d-\d\d-\d\dT"
    with pytest.raises(ConfigError, match=expected) as caught, claim(tmp_path, "oqvl-x make"):
        raise AssertionError("the block must not run")
    assert "wait until it has finished" in caught.value.hint
    assert (tmp_path / "claim.json").exists()


def test_a_claim_excludes_the_same_process_too(tmp_path: Path) -> None:
    with (
        claim(tmp_path, "oqvl-x make"),
        pytest.raises(ConfigError, match=f"process {os.getpid()} "),
        claim(tmp_path, "oqvl-x make"),
    ):
        raise AssertionError("the block must not run")


def test_a_dead_owner_does_not_block(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert (tmp_path / "claim.json").exists()
    with claim(tmp_path, "oqvl-x make"):
        assert json.loads((tmp_path / "claim.json").read_text(encoding="utf-8"))["pid"] == os.getpid()


def test_a_dead_owners_forked_child_does_not_block(tmp_path: Path) -> None:
    owner, child = start_owner(tmp_path, "fork")
    assert child != owner.pid
    owner.kill()
    owner.wait()
    try:
        os.kill(child, 0)  # it lives
        with claim(tmp_path, "oqvl-x make"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        owner.communicate()


def test_a_forked_child_that_leaves_the_block_takes_nothing_away(tmp_path: Path) -> None:
    parent = os.getpid()
    try:
        with claim(tmp_path, "oqvl-x make"):
            child = os.fork()
            if child == 0:
                raise SystemExit
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            with pytest.raises(ConfigError), claim(tmp_path, "oqvl-x make"):
                raise AssertionError("the block must not run")
    except BaseException as error:
        if os.getpid() != parent:
            os._exit(int(not isinstance(error, SystemExit)))
        raise


def test_an_owner_that_has_not_written_its_name_yet_is_still_one(tmp_path: Path) -> None:
    with (tmp_path / "claim.json").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="being written by another process"), claim(tmp_path, "oqvl-x make"):
            raise AssertionError("the block must not run")


def test_a_claim_that_somebody_removed_is_not_taken_from_the_next_owner(tmp_path: Path) -> None:
    with claim(tmp_path, "oqvl-x first"):
        (tmp_path / "claim.json").unlink()
        with claim(tmp_path, "oqvl-x second"):
            pass
        (tmp_path / "claim.json").write_text("somebody else's", encoding="utf-8")
    assert (tmp_path / "claim.json").read_text(encoding="utf-8") == "somebody else's"


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING), claim(tmp_path, "oqvl-x make"):
        assert "its file system has no locks; make sure that no other run writes there" in caplog.text


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A claim file of another user, which this process may read and not write."""
    path = tmp_path / "claim.json"
    path.write_text("", encoding="utf-8")
    inode, original = path.stat().st_ino, os.open

    def refuse(name: Path, flags: int, *mode: int) -> int:
        if flags & os.O_RDWR and name.exists() and name.stat().st_ino == inode:
            raise PermissionError(errno.EACCES, "Permission denied", str(name))
        return original(name, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    return path


def test_a_dead_owner_of_another_user_does_not_block(read_only: Path) -> None:
    with claim(read_only.parent, "oqvl-x make"):
        assert json.loads(read_only.read_text(encoding="utf-8"))["pid"] == os.getpid()


def test_a_living_owner_of_another_user_does(read_only: Path) -> None:
    with read_only.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="being written by"), claim(read_only.parent, "oqvl-x make"):
            raise AssertionError("the block must not run")
    assert read_only.exists()


def test_another_failure_to_lock_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output"), claim(tmp_path, "oqvl-x make"):
        raise AssertionError("the block must not run")


def _count(directory: Path, num_turns: int) -> None:
    for _ in range(num_turns):
        while True:
            try:
                with claim(directory, "oqvl-x count"):
                    counter = directory / "counter"
                    counter.write_text(str(int(counter.read_text()) + 1))
                    break
            except ConfigError:
                continue


def test_claims_that_come_and_go_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_count, args=(tmp_path, 50)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "counter").read_text() == "200"
