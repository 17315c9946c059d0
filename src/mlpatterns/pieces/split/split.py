"""Split: each caller always gets the answers of the same arm; the shares of the arms may change at run time."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mlpatterns.base import BasePredictor
from mlpatterns.context import Context
from mlpatterns.errors import NotStarted, Unavailable
from mlpatterns.headers import checked_headers, is_credential
from mlpatterns.ids import new_id
from mlpatterns.interfaces import MetricSeries
from mlpatterns.metadata import ModelMetadata
from mlpatterns.pieces import piece
from mlpatterns.pieces.calls import answer_of
from mlpatterns.pieces.combined import CombinedMetadata, alike
from mlpatterns.pieces.split.buckets import BUCKETS, MOST_ARMS, bucket_of, unit_of
from mlpatterns.pieces.split.weights import Weights
from mlpatterns.predictor import Health, InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.references import NAME
from mlpatterns.user_errors import CompositionError

__all__ = ["EXPOSURE", "Split"]

EXPOSURE = "exposure"  # the key of the note that an experiment reads


@piece(lambda inner, _: Split({"inner": inner}), by_caller=True)
class Split(BasePredictor):
    """Divides callers among arms, e.g. ``Split({"a": a, "b": b}, weights={"a": 60, "b": 40}, sticky_by="user-id")``.

    The value of the header `sticky_by` is hashed into one of 10,000 buckets, and each bucket belongs to an arm. One
    shared document has the arms of all buckets. A change of the weights moves as few callers as possible, in all
    workers and replicas within a second; `weights/undo` moves them back. A request without the header gets a random arm
    each time.

    The note `arm`, which the caller gets as `x-mlp-arm`, names the arm. For each real request (no tests, probes or
    replays) the note `exposure` has the arm, the hash of the header, whether the choice was sticky, the revision of the
    weights, and a running number by which an experiment detects lost records. The field `described` of the response has
    the metadata of the arm.

    Args:
        arms: the predictors by the name of each arm; all have the same inputs and outputs.
        weights: relative shares by arm, 0 for no requests; by default all are equal. A command can change them; the
            new weights then apply, also after a restart.
        sticky_by: the header that identifies the caller; it must not carry credentials, such as the id of a session.
        salt: is hashed together with the header; by default the path of the piece, so that two splits are independent.

    Attributes:
        path: the path of its exposure notes, known after its start.

    Raises:
        CompositionError: the arms, the weights or the header cannot be used; at the start: the arms do not have the
            same inputs and outputs.
    """

    depends_on_caller = True

    def __init__(
        self,
        arms: Mapping[str, Predictor],
        *,
        weights: Mapping[str, float] | None = None,
        sticky_by: str | None = None,
        salt: str | None = None,
        name: str = "split",
    ) -> None:
        super().__init__(name, arms)
        given = dict.fromkeys(arms, 1.0) if weights is None else weights
        _check_arms(arms, given)
        self.weights = Weights({arm: float(given[arm]) for arm in arms})
        self.sticky_by = None if sticky_by is None else _checked_header(sticky_by)
        self.reads_headers = () if self.sticky_by is None else (self.sticky_by,)
        self.salt = salt
        self.operations = self.weights.operations
        self.path: str | None = None
        self._described = CombinedMetadata(name, self.children, lambda parts: alike(name, "split", "arms", parts))

    @property
    def metadata(self) -> ModelMetadata:
        return self._described.once_ready()

    def describe(self, context: Context) -> ModelMetadata:
        """The metadata of the arm of this caller, if callers can notice a difference between arms."""
        whole, key = self.metadata, self._key(context)
        if key is None:
            return whole
        met = self.children[self._of(unit_of(self._salt, key))].describe(context)
        return whole if _seen(met) == _seen(whole) else met

    def identity(self) -> str | None:
        """The identity of the arms if all have the same; otherwise None, because the arm depends on the caller."""
        found = {arm.identity() for arm in self.children.values()}
        return found.pop() if len(found) == 1 else None

    def overall_health(self, below: Sequence[Health]) -> Health:
        """Ready if every arm with buckets is ready; the reason names all problems."""
        try:
            table = self.weights.table()
        except Unavailable as error:
            return super().overall_health([*below, Health(False, error.message)])
        taken = set(table.arms)
        served = [
            Health(health.ready or arm not in taken, health.reason)
            for arm, health in zip(self.children, below, strict=True)
        ]
        return super().overall_health([*served, Health(True, table.trouble)])

    async def start(self, runtime: Runtime) -> None:
        self.path = self._path = runtime.path
        self._salt = self.salt or runtime.path
        self._source, self._numbers = new_id(), dict.fromkeys(self.children, 0)
        self._described.forget()
        name, what = "mlpatterns_split_requests_total", "Requests of callers, by the arm that a split chose."
        self._exposed: dict[tuple[str, bool], MetricSeries] = {
            (arm, sticky): runtime.metrics.counter(name, what, piece=runtime.path, arm=arm, sticky=str(sticky).lower())
            for arm in self.children
            for sticky in (True, False)
        }
        await self.weights.start(runtime)
        with suppress(NotStarted):  # a remote arm may not be available yet
            self._described.of_all()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        context, key = request.context.at(self._path), self._key(request.context)
        unit = None if key is None else unit_of(self._salt, key)
        name = self._of(unit)
        context.note("arm", name, public=True)
        if context.purpose == "request":
            self._expose(context, name, unit)
        arm = self.children[name]
        with context.step(name) as inside:
            answer = await arm.predict(request.within(inside))
        return answer_of(self.name, answer, arm, request.context)

    def _key(self, context: Context) -> str | None:
        """The value that identifies the caller, or None if nothing does."""
        return None if self.sticky_by is None else context.headers.get(self.sticky_by) or None

    def _of(self, unit: str | None) -> str:
        """The arm of a caller; a random arm if nothing identifies the caller."""
        bucket = random.randrange(BUCKETS) if unit is None else bucket_of(unit)  # noqa: S311 - no secret
        return self.weights.table().arms[bucket]

    def _expose(self, context: Context, arm: str, unit: str | None) -> None:
        sticky, revision = unit is not None, self.weights.table().document.revision
        number = self._numbers[arm] = self._numbers[arm] + 1
        exposure: dict[str, Any] = {"arm": arm, "unit": unit, "sticky": sticky, "revision": revision,
                                    "source": self._source, "number": number}  # fmt: skip
        context.note(EXPOSURE, exposure)
        self._exposed[arm, sticky].inc()


def _check_arms(arms: Mapping[str, Predictor], weights: Mapping[str, float]) -> None:
    if not arms or len(arms) > MOST_ARMS:
        raise CompositionError(f"a Split needs 1 to {MOST_ARMS} arms")
    for arm in arms:
        if not re.fullmatch(NAME, arm):
            raise CompositionError(f"an arm cannot be called {arm!r}: a name is letters, digits, '_', '-' and '.'")
    if set(weights) != set(arms):
        raise CompositionError(f"weights must give a number for each of the arms {', '.join(arms)}, and no other")


def _checked_header(name: str) -> str:
    if is_credential(name.lower()):
        raise CompositionError(
            f"a Split cannot be sticky by {name!r}: who knows a session or a token can act for its owner, so it is "
            "neither read nor sent on; use an id that grants no access, such as user-id or visitor-id"
        )
    return checked_headers([name], "read")[0]


def _seen(met: ModelMetadata) -> tuple[object, ...]:
    """The metadata of an arm that callers can notice, except the tensors, which are the same in all arms."""
    return met.labels, met.threshold, met.max_batch_size
