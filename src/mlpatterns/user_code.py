"""Calling user code, which may raise anything.

SystemExit and KeyboardInterrupt end an event loop, a future cannot hold StopIteration, GeneratorExit ends whoever waits
without a word, and CancelledError looks as if somebody had cancelled the caller. Here each becomes a RuntimeError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from typing import Any, TypeVar

__all__ = ["awaited", "called", "is_cancellation"]

T = TypeVar("T")


ENDS_OTHERS = (StopIteration, StopAsyncIteration, CancelledError)  # errors like others, but in a task or a future


def called(function: Callable[..., T], *arguments: Any) -> T:
    """What `function` returns.

    Raises:
        Exception: what it raises, if that is an error like others.
        RuntimeError: it raised anything else.
    """
    try:
        return function(*arguments)
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, ENDS_OTHERS):
            raise
        raise RuntimeError(f"it raised {type(error).__name__}: {error}") from error


async def awaited(work: Awaitable[T]) -> T:
    """What an awaitable of user code gives.

    Raises:
        Exception, RuntimeError: as `called`.
        CancelledError: the current task was cancelled.
    """
    try:
        return await work
    except BaseException as error:
        if isinstance(error, Exception) or is_cancellation(error):
            raise
        raise RuntimeError(f"it raised {type(error).__name__}: {error}") from error


def is_cancellation(error: BaseException) -> bool:
    """Whether `error` is there because somebody cancelled the current task; code in it may raise the same by itself."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
