"""`run --reset-shared`: resets shared documents to their initial values, once a run."""

from __future__ import annotations

from typing import Any

from mlpatterns.errors import Conflict
from mlpatterns.interfaces import ControlStore

__all__ = ["BY", "reset_once"]

BY = "run --reset-shared"  # the author in the history of the document
MARK = "/reset"  # appended to the key of a document; its value is the run that reset the document last
ATTEMPTS = 100  # while others change the document


async def reset_once(store: ControlStore, key: str, initial: Any, run: str) -> None:
    """Writes `initial` once for each `run`: another worker, or a restarted one, must not undo later changes.

    Args:
        initial: a JSON value.
        run: the id of the run.

    Raises:
        Unavailable: the store does not answer.
        Conflict: other processes changed the document during every attempt.
    """
    for _ in range(ATTEMPTS):
        stored = await store.get_many([key, key + MARK])
        document, mark = stored.get(key), stored.get(key + MARK)
        if mark is not None and mark.value == run:
            return
        try:
            if document is not None and document.value != initial:
                await store.put(key, initial, expected=document.revision, by=BY)
            await store.put(key + MARK, run, expected=None if mark is None else mark.revision, by=BY)
        except Conflict:  # another worker or a command wrote first: read again and decide anew
            continue
        return
    raise Conflict(f"{key!r} is constantly changed by other processes; try again")
