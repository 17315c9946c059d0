"""The weights of a split: one document that all workers and replicas share, and the operations that change it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import NoneType

from msgspec import Struct

from mlpatterns.errors import InvalidInput, Unavailable
from mlpatterns.interfaces import Document
from mlpatterns.pieces.split.buckets import Allocation, allocated, reconciled
from mlpatterns.predictor import Caller, Operation, Runtime
from mlpatterns.user_errors import CompositionError

__all__ = ["ArmTable", "SplitState", "SplitWeights", "Weights"]

log = logging.getLogger("mlpatterns")

REMEMBERED = 1000  # revisions: as many as a ControlStore keeps
DAMAGED = "the weights in the control store are not what they should be"


class SplitWeights(Struct, frozen=True, forbid_unknown_fields=True):
    """The input of the command `weights`: a relative weight for every arm."""

    weights: dict[str, float]


class SplitState(Struct, frozen=True):
    """One version of the weights.

    Attributes:
        buckets: how many of the 10,000 buckets each arm has.
        revision: the number of this version; 0 for the weights in the code.
        by, at: who set the weights, and when.
    """

    weights: dict[str, float]
    buckets: dict[str, int]
    revision: int
    by: str
    at: float


class ArmTable(Struct, frozen=True):
    """The arm of each bucket, from the last usable `document`; `seen` is the last document, usable or not."""

    seen: Document[Allocation]
    document: Document[Allocation]
    arms: Sequence[str]

    @property
    def trouble(self) -> str:
        return "" if self.seen is self.document else DAMAGED


class Weights:
    """The weights in use: the weights in the code, until a command sets others, which also apply after a restart.

    Args:
        composed: the weight of every arm in the code.

    Raises:
        CompositionError: a weight cannot be used.
    """

    def __init__(self, composed: Mapping[str, float]) -> None:
        self.composed = dict(composed)
        try:
            self._initial = allocated(self.composed)
        except InvalidInput as error:
            raise CompositionError(str(error)) from error
        self._known: ArmTable | None = None
        self.operations = (
            Operation("weights", "query", "public", NoneType, SplitState, self._state),
            Operation("weights", "command", "token", SplitWeights, SplitState, self._change),
            Operation("weights/undo", "command", "token", NoneType, SplitState, self._undo),
            Operation("weights/history", "query", "public", NoneType, list[SplitState], self._history),
        )

    async def start(self, runtime: Runtime) -> None:
        self._path, self._known = runtime.path, None
        self._revision = runtime.metrics.gauge(
            "mlpatterns_split_revision", "The revision of the weights in use.", workers="newest", piece=runtime.path
        )
        self._shared = await runtime.shared("weights", Allocation, self._initial)

    def table(self) -> ArmTable:
        """The arm of each bucket; the same object until it changes. If a document is damaged, the previous one is used.

        Raises:
            Unavailable: no usable document could be read yet.
        """
        document, known = self._shared.document, self._known
        if known is not None and known.seen is document:
            return known
        try:
            known = ArmTable(document, document, self._checked(document).table())
        except Unavailable:
            if known is None:
                raise
            log.error("%s: %s; the previous weights stay in use", self._path, DAMAGED)
            known = ArmTable(document, known.document, known.arms)
        self._known = known
        self._revision.set(known.document.revision)
        return known

    async def buckets(self) -> dict[int, dict[str, int]]:
        """The number of buckets by arm, for every revision that the store keeps and, as revision 0, for the code.

        Raises:
            Unavailable: the control store does not answer.
        """
        found = {0: self._initial.counts()}
        for document in await self._shared.history(REMEMBERED):
            with suppress(Unavailable):
                found[document.revision] = self._checked(document).counts()
        return found

    def _checked(self, document: Document[Allocation]) -> Allocation:
        """The content of `document`, adapted to the current arms. Raises Unavailable if it cannot be used."""
        try:
            document.value.table()
            return reconciled(document.value, self.composed)
        except (ValueError, InvalidInput) as error:
            raise Unavailable(DAMAGED) from error

    # ---- operations ----

    async def _state(self, _: None, caller: Caller) -> SplitState:
        """The weights in use, and how many of 10,000 buckets each arm has."""
        return self._shown(self.table().document)

    async def _change(self, command: SplitWeights, caller: Caller) -> SplitState:
        """Sets the weights of all arms. Arms that shrink give buckets to arms that grow; no other caller changes arms.

        Raises:
            InvalidInput: an arm is missing or unknown, or a weight cannot be used.
            Unavailable, Conflict: the control store does not answer, or other processes wrote during every attempt.
        """
        if set(command.weights) != set(self.composed):
            raise InvalidInput(
                f"weights must give a number for each of the arms {', '.join(self.composed)}, and no other"
            )
        weights = {arm: command.weights[arm] for arm in self.composed}
        changed = await self._shared.change(
            lambda now: allocated(weights, reconciled(now, self.composed)), caller.principal or "anonymous"
        )
        return self._shown(changed)

    async def _undo(self, _: None, caller: Caller) -> SplitState:
        """Restores the weights before the last change; each caller gets the arm that it had then.

        Raises:
            Conflict: there is no change to undo, or another process has written meanwhile.
        """
        return self._shown(await self._shared.undo(caller.principal or "anonymous"))

    async def _history(self, _: None, caller: Caller) -> list[SplitState]:
        """The last versions of the weights, newest first: who set them, and when."""
        found = []
        for document in await self._shared.history():
            with suppress(Unavailable):  # an unusable version was never in use
                found.append(self._shown(document))
        return found

    def _shown(self, document: Document[Allocation]) -> SplitState:
        value = self._checked(document)
        return SplitState(dict(value.weights), value.counts(), document.revision, document.by, document.at)
