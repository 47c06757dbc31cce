"""Keep files open that are read repeatedly, in any order."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Self

from oqvl_shards.tar.index import open_shard_file

MAX_OPEN_FILES = 64
"""Maximum number of files to keep open. The usual limit of a process is a few hundred or more."""


class DescriptorCache:
    """The shards that were read most recently, kept open. Use it as a context manager."""

    def __init__(self) -> None:
        self._descriptors: OrderedDict[Path, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def descriptor(self, path: Path) -> int:
        """Return an open descriptor of the shard at `path`. It stays valid until the next call.

        Raises:
            DataError: If there is no file at `path`, or it cannot be opened.
        """
        if path in self._descriptors:
            self._descriptors.move_to_end(path)
            return self._descriptors[path]
        if len(self._descriptors) == MAX_OPEN_FILES:
            os.close(self._descriptors.popitem(last=False)[1])
        self._descriptors[path] = open_shard_file(path)
        return self._descriptors[path]
