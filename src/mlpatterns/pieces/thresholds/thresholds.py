"""Thresholds: calls several models at once and compares each score with a threshold that may change at run time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import NoneType
from typing import Literal

import msgspec
import numpy as np

from mlpatterns.base import BasePredictor
from mlpatterns.context import Context
from mlpatterns.errors import InternalError, InvalidInput, NotStarted, Unavailable
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec, names_in
from mlpatterns.pieces import piece
from mlpatterns.pieces.calls import answers_later, ask_all
from mlpatterns.pieces.combined import CombinedMetadata, require_same_inputs, smallest_batch
from mlpatterns.pieces.identity import combined_identity
from mlpatterns.pieces.retry import Repeater, RetryBudget
from mlpatterns.pieces.thresholds.parameters import Parameters
from mlpatterns.pieces.thresholds.shared import SharedParameters
from mlpatterns.pieces.thresholds.timed_part import TimedPart
from mlpatterns.predictor import Caller, Health, InferenceRequest, InferenceResponse, Operation, Predictor, Runtime
from mlpatterns.tensors import batch_size
from mlpatterns.user_code import call_user_code
from mlpatterns.user_errors import CompositionError

__all__ = ["Thresholds"]

log = logging.getLogger("mlpatterns")

NOT_ASKED = -1
PAUSE = 5.0  # seconds after which a caller may try again while a command has stopped the piece

Score = Callable[[InferenceResponse], Array]


@piece(lambda inner, _: Thresholds({"low": inner}, primary_output="scores", labels=["low"]))
class Thresholds(BasePredictor):
    """Calls every active part, and decides for each whether its score reaches its threshold.

    The output ``decisions`` has a column for each part: 1, 0, or -1 for an inactive part, which is not called. The
    output ``scores`` has the scores, and -1 for an inactive part.

    The start values of the parameters are the arguments, or MLPATTERNS_THRESHOLD_<NAME> and MLPATTERNS_ACTIVATE_<NAME>
    where these are set. The command ``parameters`` changes the values in all workers within a second; the new values
    also apply after a restart. If the start values after a restart differ from those that a command replaced, the log,
    the health and the ``warnings`` of the query report this, until a command names these parameters.
    ``parameters/reset`` and ``mlpatterns run --reset-shared`` return to the start values; ``parameters/undo`` undoes
    the last change.

    Args:
        parts: the predictors by name; all take the same inputs.
        thresholds: the start values by part; by default the setting `default_threshold`.
        active: the start values by part; by default all are active.
        timeout: the start value of the seconds that a part may take, including repetitions.
        retries: the start value of the number of repetitions if a part is UNAVAILABLE, within the budget of `Retry`.
        score: computes one number for each row from the answer of a part; by default the first column of its primary
            output.
        digest: a digest of what `score` does; with a `score` and without a digest, this piece has no identity.
        primary_output: ``decisions`` or ``scores``.
        labels: names of the columns, so that `/predict/label` can return the name of the column with the highest value.

    Raises:
        CompositionError: the arguments do not fit together; at the start: the parts do not take the same inputs.
        SettingsError: at the start: an environment variable is malformed.
        Unavailable: `predict`: a command has stopped this piece.
    """

    def __init__(
        self,
        parts: Mapping[str, Predictor],
        *,
        thresholds: Mapping[str, float] | None = None,
        active: Mapping[str, bool] | None = None,
        timeout: float | None = None,
        retries: int = 0,
        score: Score | None = None,
        digest: str | None = None,
        primary_output: Literal["decisions", "scores"] = "decisions",
        labels: Sequence[str] = (),
        name: str = "thresholds",
    ) -> None:
        super().__init__(name, parts)
        if not parts:
            raise CompositionError("Thresholds needs at least one part")
        if primary_output not in ("decisions", "scores"):
            raise CompositionError(f"primary_output must be 'decisions' or 'scores', not {primary_output!r}")
        composed = Parameters(dict(thresholds or {}), dict(active or {}), False, timeout, retries)
        try:
            self.parameters = SharedParameters(tuple(self.children), composed)
        except InvalidInput as error:
            raise CompositionError(f"{name!r}: {error}") from error
        self.score, self.digest, self.primary_output = score, digest, primary_output
        self.labels = names_in(f"{name!r}: labels", labels)
        self._described = CombinedMetadata(name, self.children, self._describe)
        self._decides: tuple[Parameters, list[str], str] | None = None  # the cache of `_identity`
        self.operations = (
            Operation("health/all", "query", "public", NoneType, dict[str, Literal["ok", "ng"]], self._health),
            *self.parameters.operations,
        )

    # ---- a predictor ----

    @property
    def metadata(self) -> ModelMetadata:
        return self._described.once_ready()

    def identity(self) -> str | None:
        try:
            values = self.parameters.now()
        except Unavailable:
            return None
        return self._identity(values, {name: part.identity() for name, part in self.children.items()})

    def overall_health(self, below: Sequence[Health]) -> Health:
        """Ready if every active part is ready."""
        try:
            values = self.parameters.now()
        except Unavailable as error:
            return super().overall_health([*below, Health(False, error.message)])
        parts = [
            Health(health.ready or not values.active[name], health.reason)
            for name, health in zip(self.children, below, strict=True)
        ]
        said = ["a command has stopped it"] if values.stopped else []
        return super().overall_health(
            [*parts, *[Health(True, reason) for reason in (*said, *self.parameters.warnings)]]
        )

    async def start(self, runtime: Runtime) -> None:
        self._path, self._clock = runtime.path, runtime.clock
        self._described.forget()
        with suppress(NotStarted):  # a remote part may not be available yet
            self._described.of_all()
        budget = RetryBudget()
        self._repeaters = {name: Repeater(part, runtime, budget) for name, part in self.children.items()}
        await self.parameters.start(runtime)

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        values = self.parameters.now()
        if values.stopped:
            raise Unavailable("predictions are stopped by a command; try again later", retry_after=PAUSE)
        for output in request.outputs:
            if output not in ("decisions", "scores"):
                raise InvalidInput(f"there is no output {output[:64]!r}")
        asked = request.within(request.context.at(self._path))
        questions = [
            (name, TimedPart(self._repeaters[name], values, self._clock), self._asking(part, asked))
            for name, part in self.children.items()
            if values.active[name]
        ]
        answers, errors = await ask_all(questions, fail_fast=True) if questions else ({}, {})
        if errors:
            raise next(iter(errors.values()))
        return self._whole(request, values, answers)

    def _asking(self, part: Predictor, request: InferenceRequest) -> InferenceRequest:
        """The request for a part: for its primary output, which has the score, or for all outputs if `score` is set."""
        wanted: tuple[str, ...] = ()
        if self.score is None:
            with suppress(NotStarted):
                wanted = (part.describe(request.context).primary_output,)
        return InferenceRequest(
            request.inputs, request.context, request.id, request.parameters, wanted, request.deadline
        )

    def _whole(
        self, request: InferenceRequest, values: Parameters, answers: Mapping[str, InferenceResponse]
    ) -> InferenceResponse:
        rows = batch_size(request.inputs)
        scores = np.full((rows, len(self.children)), NOT_ASKED, np.float32)
        decisions = np.full((rows, len(self.children)), NOT_ASKED, np.int64)
        identities = {name: part.identity() for name, part in self.children.items()}
        for column, name in enumerate(self.children):
            if (answer := answers.get(name)) is not None:
                if answer.status == "accepted":
                    raise answers_later(name, "part")
                found = self._scored(name, answer, request)
                scores[:, column] = found
                decisions[:, column] = found >= values.thresholds[name]
                identities[name] = answer.identity
        outputs: dict[str, Array] = {"decisions": decisions, "scores": scores}
        return InferenceResponse(
            {name: outputs[name] for name in request.outputs or outputs},
            self.name,
            self.metadata.version,
            self._identity(values, identities),
            degraded=any(answer.degraded for answer in answers.values()),
        )

    def _scored(self, name: str, answer: InferenceResponse, request: InferenceRequest) -> Array:
        rows = batch_size(request.inputs)
        try:
            if self.score is not None:
                found = np.asarray(call_user_code(self.score, answer), np.float64).reshape(rows)
            else:
                primary = _primary(answer, self.children[name], request.context)
                found = primary.reshape(rows, -1)[:, 0].astype(np.float64)
        except NotStarted:
            raise
        except Exception as error:
            log.exception("cannot compute the score of %r in %r from its answer", name, self.name)
            raise InternalError("the score cannot be computed from the answer", stages=(name,), logged=True) from error
        return found

    def _identity(self, values: Parameters, parts: Mapping[str, str | None]) -> str | None:
        """The identity of the answer: a digest of the thresholds and the identities of the active parts."""
        if self.score is not None and self.digest is None:
            return None
        if self._decides is None or self._decides[0] is not values:
            asked = [name for name, active in values.active.items() if active]
            said = msgspec.json.encode([[name, values.thresholds[name]] for name in asked]).decode()
            self._decides = values, asked, said
        _, asked, said = self._decides
        return combined_identity(
            "thresholds", self.digest or "", *self.children, said, *[parts[name] for name in asked]
        )

    def _describe(self, parts: Mapping[str, ModelMetadata]) -> ModelMetadata:
        require_same_inputs(self.name, parts)
        first = next(iter(parts.values()))
        columns = tuple(parts)
        outputs = (
            TensorSpec("decisions", "INT64", (-1, len(columns)), fields=columns),
            TensorSpec("scores", "FP32", (-1, len(columns)), fields=columns),
        )
        version = ",".join(dict.fromkeys(part.version for part in parts.values()))
        return ModelMetadata(self.name, version, "thresholds", first.inputs, outputs, self.primary_output, self.labels,
                             first.sample, smallest_batch(parts.values()))  # fmt: skip

    async def _health(self, _: None, caller: Caller) -> dict[str, Literal["ok", "ng"]]:
        """The health of each part, active or not: `ok` if it could answer now, `ng` if not."""
        healths = await asyncio.gather(*[part.check() for part in self.children.values()])
        return {name: "ok" if health.ready else "ng" for name, health in zip(self.children, healths, strict=True)}


def _primary(answer: InferenceResponse, part: Predictor, context: Context) -> Array:
    """The primary output of an answer: the only one, unless the part was asked before its metadata was known."""
    if len(answer.outputs) == 1:
        return next(iter(answer.outputs.values()))
    return answer.outputs[(answer.described or part.describe(context)).primary_output]
