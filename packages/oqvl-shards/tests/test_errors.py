import errno
import os
import pickle
import sys
from collections.abc import Callable

import pytest

from oqvl_shards.command_line import new_app
from oqvl_shards.errors import (
    ConfigError,
    DataError,
    HardwareError,
    ManifestError,
    MissingExtraError,
    OqvlError,
    UsageError,
    require_extra,
    run_cli,
)

EXIT_CODES = {
    OqvlError: 1,
    UsageError: 2,
    ConfigError: 3,
    ManifestError: 3,
    MissingExtraError: 4,
    HardwareError: 4,
    DataError: 5,
}


@pytest.mark.parametrize(("error_type", "code"), EXIT_CODES.items())
def test_exit_codes_are_the_documented_ones(error_type: type[OqvlError], code: int) -> None:
    assert error_type.exit_code == code


@pytest.mark.parametrize("error_type", EXIT_CODES)
def test_errors_cross_process_boundaries_whole(error_type: type[OqvlError]) -> None:
    error = pickle.loads(pickle.dumps(error_type("found 3, expected 4", hint="count again")))
    assert type(error) is error_type
    assert (error.message, error.hint) == ("found 3, expected 4", "count again")


def test_text_is_the_message_and_then_the_hint() -> None:
    assert str(OqvlError("found 3")) == "found 3"
    assert str(OqvlError("found 3", hint="count again")) == "found 3\n  hint: count again"


def test_missing_extra_names_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match=r"oqvl-x needs no_such_module") as caught, require_extra("oqvl-x", "y"):
        import no_such_module  # noqa: F401  # pyrefly: ignore[missing-import]
    assert "oqvl-x[y]" in caught.value.hint


def test_run_cli_prints_an_oqvl_error_and_exits_with_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    def app() -> None:
        raise DataError("shard 3: found 1, expected 2", hint="fetch it again")

    with pytest.raises(SystemExit) as caught:
        run_cli(app)
    assert caught.value.code == 5
    captured = capsys.readouterr()
    assert captured.err == "error: shard 3: found 1, expected 2\n  hint: fetch it again\n"
    assert captured.out == ""


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_run_cli_tells_of_a_disk_that_refuses(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def app() -> None:
        raise OSError(code, os.strerror(code), "out/shard-3.tar")

    with pytest.raises(SystemExit) as caught:
        run_cli(app)
    assert caught.value.code == 4
    assert capsys.readouterr().err.startswith(f"error: out/shard-3.tar: {os.strerror(code)}\n  hint: fix that")


def press_ctrl_c() -> None:
    raise KeyboardInterrupt


def press_ctrl_c_in_a_command() -> None:
    app = new_app("An app.")
    app.command()(press_ctrl_c)
    app([])


@pytest.mark.parametrize("app", [press_ctrl_c, press_ctrl_c_in_a_command])
def test_run_cli_tells_of_an_interruption(app: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_cli(app)
    assert caught.value.code == 130
    assert capsys.readouterr().err.startswith("interrupted")


def test_run_cli_lets_another_error_of_the_system_keep_its_traceback() -> None:
    def app() -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", "x")

    with pytest.raises(FileNotFoundError):
        run_cli(app)


def test_run_cli_lets_a_bug_keep_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_cli(lambda: 1 / 0)


def test_run_cli_passes_an_exit_through() -> None:
    with pytest.raises(SystemExit) as caught:
        run_cli(lambda: sys.exit(7))
    assert caught.value.code == 7
