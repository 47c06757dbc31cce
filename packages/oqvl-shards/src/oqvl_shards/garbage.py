"""Pause Python's garbage collector while many small objects are made that are in no reference cycle.

The collector looks through all objects again and again as their number grows, which takes a third of the time of
indexing a shard, and finds nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the search for reference cycles; what is in none goes at once all the same."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
