"""A polite stop: SIGTERM or SIGINT asks, the loop answers at the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether this process was asked to stop.

    Attributes:
        reason: Name of the signal that came, empty before.
    """

    def __init__(self) -> None:
        self.reason = ""

    @contextmanager
    def listen(self) -> Iterator[StopRequest]:
        """Catch the first SIGTERM or SIGINT inside the block; the second one acts as ever.

        Signals reach Python's main thread alone; in another thread this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        previous: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS}

        def restore() -> None:
            for number, handler in previous.items():
                signal.signal(number, handler)

        def catch(number: int, frame: FrameType | None) -> None:
            self.reason = signal.Signals(number).name
            restore()

        for number in _SIGNALS:
            signal.signal(number, catch)
        try:
            yield self
        finally:
            restore()
