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


class OperationsPiece(Wrapper):
    """Answers for jobs and weights; remembers what it received."""

    def __init__(self, inner: Predictor, operations: Sequence[Operation] | None = None) -> None:
        super().__init__(inner)
        self.received: list[Any] = []
        self.operations = self._own() if operations is None else operations

    def _own(self) -> tuple[Operation, ...]:
        return (
            Operation("job/{id}", "query", "public", Find, Job, self.find),
            Operation("weights", "query", "public", type(None), Weights, self.weights),
            Operation("weights", "command", "token", Weights, Weights, self.weigh),
            Operation("job/{id}/cancel", "command", "public", Cancel, type(None), self.cancel),
            Operation("report", "page", "public", type(None), str, self.report),
        )

    async def find(self, input: Find, caller: Caller) -> Job:
        """The state of a job."""
        self.received.append(input)
        if input.id == 404:
            raise NotFound("there is no such job")
        return Job(input.id, "done")

    async def weights(self, input: None, caller: Caller) -> Weights:
        return Weights({"a": 0.5})

    async def weigh(self, input: Weights, caller: Caller) -> Weights:
        if not input.weights:
            raise Conflict("somebody else changed them")
        return input

    async def cancel(self, input: Cancel, caller: Caller) -> None:
        self.received.append(input)

    async def report(self, input: None, caller: Caller) -> str:
        return "<h1>グラフ</h1>"
