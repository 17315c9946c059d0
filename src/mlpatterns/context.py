"""Who asks, and what the pieces that answered did: notes for log, exposures, traces and `x-mlp-*` headers."""

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
        path: of the piece; see `Runtime.path`.
        public: callers see it, as the header ``x-mlp-KEY``.
        key: what is noted, such as ``arm``.
        value: what JSON can say.
    """

    path: str
    key: str
    value: Any
    public: bool = False


class Context(Struct):
    """Who asks; never part of what is asked.

    Attributes:
        prediction_id: made by us, unique and sortable; joins log, feedback and trace.
        headers: lower-case, from HTTP headers or gRPC metadata: those of the allow-list, and those that a piece in the
            tree declares to read.
        principal: the name behind the credentials, or None.
        caller_id: the caller's own id: `{job_id}` of the route, else the id of the Open Inference Protocol, else
            `x-request-id`.
        purpose: only a ``request`` is queued, exposed, mirrored or counted in statistics; ``test`` is the sample on
            demand, ``probe`` a question of our own, ``replay`` logged traffic.
        path: the `{names}` of the route.
        where: the path of the piece that runs.
        notes: append-only, in the order in which things happened; never from outside.
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
        """Notes what the piece at `where` did."""
        self.notes.append(Note(self.where, key, value, public))

    def at(self, where: str) -> Context:
        """The same caller and the same notes, for the piece at `where`: a piece notes under the path it started at."""
        if where == self.where:
            return self
        return Context(self.prediction_id, self.headers, self.principal, self.caller_id, self.purpose, self.path, where,
                       self.notes)  # fmt: skip

    def step(self, part: str) -> Step:
        """For a part, such as a stage or an arm: ``with context.step("prep") as inside:``.

        `inside` notes under the part's path; at the end ``ms`` is noted there, the milliseconds that it took.
        """
        return Step(self.at(f"{self.where}/{part}"))

    def detached(self) -> Context:
        """For work that belongs to several callers or to none (a flight, a batch, a mirrored request): an id and notes
        of its own, and nothing of the caller's but the purpose."""
        return Context(new_id(), purpose=self.purpose, where=self.where)


class Step:
    """What `Context.step` returns."""

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
