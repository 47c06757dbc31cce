"""A graceful stop: SIGTERM or SIGINT requests it, and the training loop stops after the current step."""

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
        reason: Name of the signal that it received; empty until then.
    """

    def __init__(self) -> None:
        self.reason = ""

    @contextmanager
    def listen(self) -> Iterator[StopRequest]:
        """Catch the first SIGTERM or SIGINT while the block runs. A second one has its usual effect.

        Only Python's main thread receives signals; in another thread this does nothing.
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
