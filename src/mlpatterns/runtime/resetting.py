"""`run --reset-shared`: shared documents go back to what they were before any command, once a run."""

from __future__ import annotations

from typing import Any

from mlpatterns.errors import Conflict
from mlpatterns.interfaces import ControlStore

__all__ = ["BY", "reset_once"]

BY = "run --reset-shared"  # who wrote it, as the audit says
MARK = "/reset"  # below the key of a document: the run that reset it last
ATTEMPTS = 100  # while others change the document


async def reset_once(store: ControlStore, key: str, initial: Any, run: str) -> None:
    """Writes `initial`, unless that was done for this `run`: a worker that is started anew, or another one, must not
    take back what commands have changed since.

    Args:
        initial: as JSON can say it.
        run: names the run.

    Raises:
        Unavailable: the store does not answer.
        Conflict: others changed it all the time.
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
        except Conflict:  # another worker does the same, or a command came first: what there is now decides
            continue
        return
    raise Conflict(f"{key!r} is changed by others all the time; try again")
