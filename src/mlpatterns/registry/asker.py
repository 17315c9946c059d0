"""The child process that asks the registry's database.

A server never imports SQLAlchemy: its memory belongs to the child, which ends itself when it was not asked for a while.
The question goes in by stdin, because a URL may hold a password and a command line is public.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Self

import msgspec

from mlpatterns.errors import RegistryDown
from mlpatterns.redaction import redact
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.question import Failure, Question, unknown_model
from mlpatterns.registry.urls import sqlite_file
from mlpatterns.stores.registry import Answer

__all__ = ["Asker"]

PATIENCE = 30.0  # seconds for one answer; a database that is down answers within its own 5
CHILD = (sys.executable, "-P", "-m", "mlpatterns.model_db.lookup")


class _Ended(Exception):
    """The child is gone; its last words are the text."""


class Asker:
    """Asks one registry, with a child that is started at the first question. It blocks: call it in a thread.

    Args:
        url: of the database.

    Raises:
        UserError: the URL is no registry's.
    """

    def __init__(self, url: str) -> None:
        self._url, self._file = url, sqlite_file(url)
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, reference: RegisteredReference) -> Answer:
        """As Registry.find; the first question takes a quarter of a second, the next ones about a millisecond."""
        if self._file is not None and not self._file.exists():
            raise unknown_model(reference.name).error()
        question = Question(self._url, reference.name, reference.alias, reference.version)
        with self._lock:
            answer = self._answer(question)
        if isinstance(answer, Failure):
            raise answer.error()
        return answer

    def close(self) -> None:
        """Ends the child."""
        with self._lock:
            self._end()

    def _answer(self, question: Question) -> Answer | Failure:
        """A child that had ended, by itself or killed, is replaced once."""
        old = self._child is not None
        try:
            return self._once(question)
        except _Ended as error:
            self._end()
            if not old:
                raise RegistryDown(f"the registry at {redact(self._url)} could not be read: {error}") from error
        return self._answer(question)

    def _once(self, question: Question) -> Answer | Failure:
        if self._child is None:
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and module, no text from outside
                CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(msgspec.json.encode(question) + b"\n")
        except OSError as error:
            raise self._ended() from error
        line = self._line(self._child)
        try:
            return msgspec.json.decode(line, type=Answer | Failure)
        except msgspec.MsgspecError as error:
            raise _Ended("it said what is no answer") from error

    def _line(self, child: subprocess.Popen[bytes]) -> bytes:
        assert child.stdout is not None
        said, until = b"", monotonic() + PATIENCE
        while not said.endswith(b"\n"):
            if not select.select([child.stdout], [], [], max(until - monotonic(), 0))[0]:
                self._end()
                raise RegistryDown(f"the registry at {redact(self._url)} did not answer in {PATIENCE:g} s")
            more = os.read(child.stdout.fileno(), 65_536)
            if not more:
                raise self._ended()
            said += more
        return said

    def _ended(self) -> _Ended:
        assert self._child is not None
        _, error = self._child.communicate()
        last = error.decode(errors="replace").strip().splitlines()[-1:]
        return _Ended(last[0] if last else f"exit code {self._child.returncode}")

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            with suppress(OSError, ValueError):  # its pipes may be closed already
                child.communicate()
