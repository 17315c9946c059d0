"""Calls user code, which may raise anything.

Some exceptions do harm outside that code: SystemExit and KeyboardInterrupt end an event loop, a future cannot hold
StopIteration, GeneratorExit silently ends a waiting coroutine, and CancelledError looks as if the caller had been
cancelled. Here each of them becomes a RuntimeError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["await_user_code", "call_user_code", "is_cancellation", "kind_of", "text_for_client", "user_exc_info"]

T = TypeVar("T")

WRITES = "the model writes into its input; copy it first"

# What numpy, memoryviews, Cython and torch raise for a write to read-only input; torch may raise a warning.
WRITE_ERRORS = (ValueError, TypeError, BufferError, RuntimeError, UserWarning)
READ_ONLY = ("read-only", "not writable", "not writeable", "set WRITEABLE flag")
ENDS_OTHERS = (StopIteration, StopAsyncIteration, CancelledError)  # ordinary errors, but harmful in a task or a future


def call_user_code(function: Callable[..., T], *arguments: Any) -> T:
    """The result of `function`.

    Raises:
        Exception: the error that `function` raised, if it is an ordinary one.
        RuntimeError: `function` raised one of the exceptions that the module's docstring names.
    """
    try:
        return function(*arguments)
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, ENDS_OTHERS):
            raise
        raise RuntimeError(f"it raised {type(error).__name__}: {error}") from error


async def await_user_code(work: Awaitable[T]) -> T:
    """The result of an awaitable of user code.

    Raises:
        Exception, RuntimeError: as in `call_user_code`.
        CancelledError: the current task was cancelled.
    """
    try:
        return await work
    except BaseException as error:
        if isinstance(error, Exception) or is_cancellation(error):
            raise
        raise RuntimeError(f"it raised {type(error).__name__}: {error}") from error


def is_cancellation(error: BaseException) -> bool:
    """Whether `error` is a cancellation of the current task, and not a CancelledError that user code itself raised."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def text_for_client(error: BaseException, otherwise: str) -> str:
    """The text for the client about an error of a model: that the model wrote into its input, else `otherwise`."""
    return WRITES if isinstance(error, WRITE_ERRORS) and any(words in str(error) for words in READ_ONLY) else otherwise


def user_exc_info(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """`error` as the `exc_info` of a log record. Its traceback starts in the user's code; a note holds the text
    for the client, if there is one."""
    said = text_for_client(error, "")
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
    """How an error text names a value of the wrong type: "None", "the class X" or "an X"."""
    if value is None:
        return "None"
    name = value.__name__ if isinstance(value, type) else type(value).__name__
    return f"the class {name}" if isinstance(value, type) else f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"
