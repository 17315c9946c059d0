"""Calling user code, which may raise anything.

SystemExit and KeyboardInterrupt end an event loop, a future cannot hold StopIteration, GeneratorExit ends whoever waits
without a word, and CancelledError looks as if somebody had cancelled the caller. Here each becomes a RuntimeError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["awaited", "called", "is_cancellation", "kind_of", "of_its_own", "told"]

T = TypeVar("T")

WRITES = "the model writes into its input; copy it first"

# What numpy, memoryviews, Cython and torch (where its warnings are errors) raise, and what all of them say.
WRITE_ERRORS = (ValueError, TypeError, BufferError, RuntimeError, UserWarning)
READ_ONLY = ("read-only", "not writable", "not writeable", "set WRITEABLE flag")
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


def told(error: BaseException, otherwise: str) -> str:
    """What a client is told of an error of a model's code: `otherwise`, or that it wrote into what is read-only."""
    return WRITES if isinstance(error, WRITE_ERRORS) and any(words in str(error) for words in READ_ONLY) else otherwise


def of_its_own(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """`error` for a log, with the traceback from the user's code on, since the frames before it are ours, and with what
    its client is told."""
    said = told(error, "")
    if said and said not in getattr(error, "__notes__", ()):
        error.add_note(said)
    frames = error.__traceback__
    from_here = frames
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == __file__ and frames.tb_next is not None:
            from_here = frames.tb_next
        frames = frames.tb_next
    return type(error), error, from_here


def kind_of(value: object) -> str:
    """What a value that is not what it should be is called in a sentence: None, a class, or an object by its class."""
    if value is None:
        return "None"
    name = value.__name__ if isinstance(value, type) else type(value).__name__
    return f"the class {name}" if isinstance(value, type) else f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"
