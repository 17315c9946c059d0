"""The caller of a request, and the notes of the pieces that handled it.

Notes end up in the prediction log, in traces and in `x-mlp-*` response headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import Any, Literal

from msgspec import Struct, field

from mlpatterns.ids import new_id

__all__ = ["NOTHING", "Context", "Note", "Purpose"]

NOTHING: Mapping[str, Any] = MappingProxyType({})
Purpose = Literal["request", "test", "probe", "replay"]


class Note(Struct, frozen=True):
    """What a piece did: ``Note("online_ab/split", "arm", "b", public=True)``, ``Note("iris/prep", "ms", 1.2)``.

    Attributes:
        path: the path of the piece; see `Runtime.path`.
        key: the name of the note, such as ``arm``.
        value: any JSON value.
        public: whether the caller gets it, as the response header ``x-mlp-KEY``.
    """

    path: str
    key: str
    value: Any
    public: bool = False


class Context(Struct):
    """The caller of a request. It never changes what is predicted, unless a piece reads it.

    Attributes:
        prediction_id: the id of this prediction, made by the server; unique, and sortable by time. Log, feedback and
            trace share it.
        headers: the headers of HTTP or the metadata of gRPC, with names in lower case: those that the settings allow,
            and those that a piece of the system declares in `reads_headers`.
        principal: the name that belongs to the credentials, or None.
        caller_id: the id that the caller gave: `{job_id}` in the path, else the request id of the Open Inference
            Protocol, else `x-request-id`.
        purpose: ``request`` is real traffic; only this is queued, mirrored, and counted in experiments and statistics.
            ``test`` is the built-in sample, ``probe`` a request of the server itself, ``replay`` logged traffic.
        path: the values of the `{names}` in the path of the route.
        where: the path of the piece that handles the request now.
        notes: the notes of all pieces, in order; only pieces add to them.
    """

    prediction_id: str
    headers: Mapping[str, str] = NOTHING
    principal: str | None = None
    caller_id: str | None = None
    purpose: Purpose = "request"
    path: Mapping[str, str] = NOTHING
    where: str = ""
    notes: list[Note] = field(default_factory=list)

    def note(self, key: str, value: Any, *, public: bool = False) -> None:
        """Adds a note of the piece at `where`."""
        self.notes.append(Note(self.where, key, value, public))

    def at(self, where: str) -> Context:
        """The same caller and the same notes, for the piece at the path `where`."""
        if where == self.where:
            return self
        return Context(self.prediction_id, self.headers, self.principal, self.caller_id, self.purpose, self.path, where,
                       self.notes)  # fmt: skip

    def step(self, part: str) -> Step:
        """Times one part, such as a stage or an arm: ``with context.step("prep") as inside:``.

        Notes of `inside` have the path of the part. At the end of the block the note ``ms`` has its milliseconds.
        """
        return Step(self.at(f"{self.where}/{part}"))

    def detached(self) -> Context:
        """The context of work that serves several callers or none, such as a batch or a mirrored request. It has an id
        and notes of its own, and keeps only the purpose of the caller."""
        return Context(new_id(), purpose=self.purpose, where=self.where)


class Step:
    """The context manager that `Context.step` returns."""

    __slots__ = ("_began", "_inside")

    def __init__(self, inside: Context) -> None:
        self._inside = inside

    def __enter__(self) -> Context:
        self._began = perf_counter()
        return self._inside

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.note("ms", round(1000 * (perf_counter() - self._began), 3))
