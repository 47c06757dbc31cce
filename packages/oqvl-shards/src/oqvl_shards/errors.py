"""The errors of all OQVL packages, and how a command line ends when one is raised.

    OqvlError               1  a bug, not a mistake of the user
    ├── UsageError          2  the arguments do not go together
    ├── ConfigError         3  a configuration file or field is wrong
    ├── ManifestError       3  a manifest is missing, unreadable, of the wrong kind or schema version
    ├── MissingExtraError   4  an optional dependency is not installed
    ├── HardwareError       4  the machine lacks what the work needs
    └── DataError           5  data failed a check: a digest, a count, a format

The numbers are the exit codes of every command line. A message says what was found, what was expected, and where; the
hint says what to do. If the disk is full or cannot be written, a command exits with 4. After Ctrl-C it exits with 130,
as in shells.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar


class OqvlError(Exception):
    """The root of every error that OQVL packages raise on purpose.

    Args:
        message: What was found, what was expected, and where (shard, sample, config key).
        hint: What the user can do about it; empty if the message already says so.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Callable[..., OqvlError], tuple[type[OqvlError], str, str]]:
        # The default would lose the keyword-only argument when a worker process sends the error to its parent.
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(error_type: type[OqvlError], message: str, hint: str) -> OqvlError:
    return error_type(message, hint=hint)


class UsageError(OqvlError):
    """The arguments of a command or a call do not go together."""

    exit_code = 2


class ConfigError(OqvlError):
    """A configuration file is missing, malformed, or holds a value that cannot work."""

    exit_code = 3


class ManifestError(OqvlError):
    """A manifest is missing, malformed, of an unexpected kind, or of a schema version that this release cannot read."""

    exit_code = 3


class MissingExtraError(OqvlError):
    """A feature needs optional dependencies that are not installed."""

    exit_code = 4


class HardwareError(OqvlError):
    """The machine lacks what the work needs (a CUDA device, memory, a collective backend)."""

    exit_code = 4


class DataError(OqvlError):
    """Data on disk failed a check: a digest, a count that does not close, a broken format."""

    exit_code = 5


@contextmanager
def require_extra(package: str, extra: str) -> Iterator[None]:
    """Turn an `ImportError` inside the block into a `MissingExtraError` that names the extra to install.

    Args:
        package: The distribution that offers the extra, e.g. `"oqvl-filter"`.
        extra: The extra's name, e.g. `"clip"`.

    Raises:
        MissingExtraError: If an import inside the block fails.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"{package} needs {error.name or error} for this, but it is not installed",
            hint=f"pip install '{package}[{extra}]'",
        ) from error


_DISK_REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})
"""Error numbers that mean that the machine cannot read or write a file. They are not bugs of the program."""

INTERRUPTED_EXIT_CODE = 130


def run_cli(app: Callable[[], object]) -> None:
    """Run the command line `app`. Print an `OqvlError` as two lines on stderr and exit with its code.

    An unreadable or unwritable disk and Ctrl-C are handled in the same way. Any other exception is a bug: it keeps its
    traceback, and the exit code is 1.
    """
    try:
        app()
    except OqvlError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    except OSError as error:
        if error.errno not in _DISK_REFUSED:
            raise
        refused = HardwareError(
            f"{error.filename or 'the disk'}: {error.strerror}",
            hint="fix that and run the same command again; finished work is kept",
        )
        print(f"error: {refused}", file=sys.stderr)
        raise SystemExit(refused.exit_code) from error
    except (KeyboardInterrupt, SystemExit) as error:
        # The command-line library turns Ctrl-C into an exit with this code and prints nothing.
        if isinstance(error, SystemExit) and error.code != INTERRUPTED_EXIT_CODE:
            raise
        print("interrupted; run the same command again to resume from the finished work", file=sys.stderr)
        raise SystemExit(INTERRUPTED_EXIT_CODE) from error
