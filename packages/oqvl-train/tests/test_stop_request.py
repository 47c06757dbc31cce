from __future__ import annotations

import os
import signal
import threading

import pytest

from oqvl_train.stop_request import StopRequest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_acts(number: signal.Signals) -> None:
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest().listen() as request:
        assert not request.reason
        os.kill(os.getpid(), number)
        assert request.reason == number.name
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers


def test_handlers_come_back_after_an_error() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), StopRequest().listen():
        assert signal.getsignal(signal.SIGTERM) != handler
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) == handler


def test_another_thread_listens_to_nothing() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    seen = []

    def listen() -> None:
        with StopRequest().listen():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [handler]
