"""Ctrl-C that comes while Python ignores exceptions ends a command all the same."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from threading import Thread
from time import monotonic, sleep

import pytest

from mlpatterns.cli import interrupt
from mlpatterns.cli.interrupt import lasting_interrupts


class Finalized:
    def __del__(self) -> None:
        raise KeyboardInterrupt


class Part:
    """Something that is referred to weakly."""


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def in_a_finalizer() -> None:
    Finalized()


def in_a_callback_of_the_garbage_collector() -> None:
    part = Part()
    watching = weakref.ref(part, interrupted)
    del part
    assert watching() is None


@pytest.mark.parametrize("happens", [in_a_finalizer, in_a_callback_of_the_garbage_collector])
def test_an_interrupt_that_python_ignores_is_raised_again(happens: Callable[[], None]) -> None:
    with lasting_interrupts():
        happens()
        before = monotonic()
        with pytest.raises(KeyboardInterrupt):
            sleep(30)
        assert monotonic() - before < 20


def test_it_is_not_raised_while_the_first_is_still_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a busy machine, where other threads run before the hook returns: Python would ignore the second too."""

    class Slow(Thread):
        def start(self) -> None:
            super().start()
            sleep(0.2)

    monkeypatch.setattr(interrupt, "Thread", Slow)
    test_an_interrupt_that_python_ignores_is_raised_again(in_a_finalizer)


def test_other_ignored_exceptions_are_reported_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[type] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: reported.append(ignored.exc_type))

    class Wrong:
        def __del__(self) -> None:
            raise ValueError

    with lasting_interrupts():
        Wrong()
    assert reported == [ValueError]
