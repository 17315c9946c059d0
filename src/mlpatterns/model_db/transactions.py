"""A transaction that is tried again while another process is in its way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from mlpatterns.model_db.database import writing

from sqlalchemy import Engine  # isort: skip - after `database`, which names the extra
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError  # isort: skip
from sqlalchemy.orm import Session  # isort: skip

__all__ = ["Writer"]

ATTEMPTS = 20
PAUSE = 0.02  # seconds; each attempt may wait that much longer than the one before

T = TypeVar("T")


class Writer:
    """Runs work in a transaction.

    Attributes:
        unsure: a commit was sent and its answer was lost: what it wrote may be there.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.unsure = False

    def run(self, work: Callable[[Session], T]) -> T:
        """What `work` returns, committed. It is called again where another transaction made the same thing first,
        and must look anew at what there is.

        Raises:
            DBAPIError: the database cannot be used, or every attempt met another.
            Exception: what `work` raised; nothing is written then.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._once(work)
            except (IntegrityError, OperationalError) as error:
                if not _may_pass(error) or attempt == ATTEMPTS - 1:
                    raise
                self.unsure = False  # the database refused it
                time.sleep(random.uniform(0, PAUSE * (attempt + 1)))  # noqa: S311 - to part two processes
        raise AssertionError

    def _once(self, work: Callable[[Session], T]) -> T:
        with Session(writing(self._engine), expire_on_commit=False) as session:
            result = work(session)
            session.flush()
            self.unsure = True
            session.commit()
            self.unsure = False
            return result


def _may_pass(error: DBAPIError) -> bool:
    """Another process made the same thing first, has the lock, or the database broke a deadlock."""
    text = str(error.orig).lower()
    return isinstance(error, IntegrityError) or "deadlock" in text or "database is locked" in text
