"""A piece with an operation of each kind, for the server's tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct

from mlpatterns.base import Wrapper
from mlpatterns.errors import Conflict, NotFound
from mlpatterns.predictor import Caller, Operation, Predictor


class Find(Struct):
    id: int
    verbose: bool = False
    tags: list[str] = []


class Job(Struct):
    id: int
    state: str


class Weights(Struct, forbid_unknown_fields=True):
    weights: dict[str, float]


class Cancel(Struct):
    id: UUID
    reason: str = ""


class Desk(Wrapper):
    """Answers for jobs and weights; remembers what it was told."""

    def __init__(self, inner: Predictor, operations: Sequence[Operation] | None = None) -> None:
        super().__init__(inner)
        self.told: list[Any] = []
        self.operations = self._own() if operations is None else operations

    def _own(self) -> tuple[Operation, ...]:
        return (
            Operation("job/{id}", "query", "public", Find, Job, self.find),
            Operation("weights", "query", "public", type(None), Weights, self.weights),
            Operation("weights", "command", "token", Weights, Weights, self.weigh),
            Operation("job/{id}/cancel", "command", "public", Cancel, type(None), self.cancel),
            Operation("report", "page", "public", type(None), str, self.report),
        )

    async def find(self, asked: Find, caller: Caller) -> Job:
        """The state of a job."""
        self.told.append(asked)
        if asked.id == 404:
            raise NotFound("there is no such job")
        return Job(asked.id, "done")

    async def weights(self, asked: None, caller: Caller) -> Weights:
        return Weights({"a": 0.5})

    async def weigh(self, told: Weights, caller: Caller) -> Weights:
        if not told.weights:
            raise Conflict("somebody else changed them")
        return told

    async def cancel(self, told: Cancel, caller: Caller) -> None:
        self.told.append(told)

    async def report(self, asked: None, caller: Caller) -> str:
        return "<h1>グラフ</h1>"
