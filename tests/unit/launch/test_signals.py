"""The signals of a supervisor."""

from __future__ import annotations

import os
import signal
import time

from mlpatterns.launch.signals import Signals


def test_a_reload_that_comes_after_one_was_taken_counts_again() -> None:
    with Signals() as signals:
        assert not signals.take_reload()
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.take_reload()
        assert not signals.take_reload()
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.take_reload()
        assert signals.stops == 0


def test_every_signal_to_stop_is_counted() -> None:
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.stops == 2


def test_a_signal_ends_the_wait_even_one_that_came_before_it() -> None:
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        began = time.monotonic()
        signals.wait(60)
        signals.wait(0.01)
        assert time.monotonic() - began < 30


def test_a_file_that_becomes_readable_ends_the_wait() -> None:
    reader, writer = os.pipe()
    os.write(writer, b".")
    with Signals() as signals:
        began = time.monotonic()
        signals.wait(60, [reader])
        assert time.monotonic() - began < 30
    os.close(reader)
    os.close(writer)


def test_the_handlers_of_before_are_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
