"""OutlierCheck: adds to each answer whether its row differs from the rows that the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import numpy as np
from msgspec.structs import replace

from mlpatterns.base import BasePredictor, name_of
from mlpatterns.errors import InternalError, NotStarted
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec
from mlpatterns.pieces import piece
from mlpatterns.pieces.calls import answers_later, ask_all
from mlpatterns.pieces.combined import CombinedMetadata, smallest_batch
from mlpatterns.pieces.identity import combined_identity
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.user_errors import CompositionError

__all__ = ["OutlierCheck"]

MODEL, OUTLIER = "model", "outlier"  # the parts
FLAG = "is_outlier"
ADDED = (TensorSpec(FLAG, "BOOL", (-1,)), TensorSpec("outlier_score", "FP32", (-1,)))
NAMES = tuple(spec.name for spec in ADDED)


@piece(lambda inner, other: OutlierCheck(inner, detector=other))
class OutlierCheck(BasePredictor):
    """Calls `predictor` together with a `detector` of outliers; both take the same inputs.

    The answer gets two more outputs: ``outlier_score``, FP32 [rows], the primary output of the detector, where a lower
    score means a less usual row; and ``is_outlier``, BOOL [rows], whether the score is below the threshold or NaN. They
    replace outputs with the same names. The notes `ms` of the parts `model` and `outlier` have their durations in
    milliseconds. If the caller does not request ``is_outlier``, it becomes a note.

    Args:
        predictor: the model.
        detector: takes the same inputs; its primary output has one score for each row, lower for a less usual row.
        threshold: a row with a lower score is an outlier; by default the setting `outlier_lower_threshold`.
        name: the name of this piece; by default that of `predictor`.

    Raises:
        CompositionError: at the start: the detector takes other inputs.
        PredictionError: the error of a part, with its name.
    """

    def __init__(
        self, predictor: Predictor, *, detector: Predictor, threshold: float | None = None, name: str | None = None
    ) -> None:
        super().__init__(name or name_of(predictor), {MODEL: predictor, OUTLIER: detector})
        self.predictor, self.detector, self.threshold = predictor, detector, threshold
        self._threshold = 0.0  # until the start reads the settings, if no threshold is given
        self._described = CombinedMetadata(self.name, self.children, self._describe)

    @property
    def metadata(self) -> ModelMetadata:
        return self._described.once_ready()

    def identity(self) -> str | None:
        return self._identity(self.predictor.identity(), self.detector.identity())

    async def start(self, runtime: Runtime) -> None:
        self._path = runtime.path
        self._threshold = runtime.settings.outlier_lower_threshold if self.threshold is None else self.threshold
        self._described.forget()
        with suppress(NotStarted):  # a remote part may not be available yet
            self._described.of_all()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        request = request.within(request.context.at(self._path))
        score = self.detector.metadata.primary_output
        asked = tuple(name for name in request.outputs if name not in NAMES)
        if request.outputs and not asked:
            asked = (self.predictor.metadata.primary_output,)  # its answer has the model version
        questions = [
            (MODEL, self.predictor, replace(request, outputs=asked)),
            (OUTLIER, self.detector, replace(request, outputs=(score,))),
        ]
        answers, errors = await ask_all(questions, fail_fast=True)
        if errors:
            raise next(iter(errors.values()))
        for part, answer in answers.items():
            if answer.status == "accepted":
                raise answers_later(part, "part")
        answer, found = answers[MODEL], answers[OUTLIER]
        judged = self._judged_rows(found.outputs[score], answer.outputs)
        outputs = {**answer.outputs, **judged}
        if request.outputs and FLAG not in request.outputs:  # the log needs it even so
            request.context.note(FLAG, judged[FLAG].tolist())
        return replace(
            answer,
            outputs={name: outputs[name] for name in request.outputs or outputs},
            model_name=self.name,
            identity=self._identity(answer.identity, found.identity),
            degraded=answer.degraded or found.degraded,
            described=None,
        )

    def _judged_rows(self, scores: Array, outputs: Mapping[str, Array]) -> dict[str, Array]:
        flat = np.asarray(scores, np.float32).reshape(-1)
        if any(value.ndim and len(value) != len(flat) for value in outputs.values()):
            raise InternalError("the outlier detector does not give one score for each row", stages=(OUTLIER,))
        return {FLAG: ~(flat >= self._threshold), "outlier_score": flat}

    def _identity(self, model: str | None, detector: str | None) -> str | None:
        return combined_identity("outlier_check", str(self._threshold), model, detector)

    def _describe(self, parts: Mapping[str, ModelMetadata]) -> ModelMetadata:
        model, detector = parts[MODEL], parts[OUTLIER]
        taken, of_detector = (
            {(spec.name, spec.datatype, spec.shape) for spec in part.inputs} for part in (model, detector)
        )
        if taken != of_detector:
            raise CompositionError(f"the model and the outlier detector of {self.name!r} must take the same inputs")
        outputs = (*(spec for spec in model.outputs if spec.name not in NAMES), *ADDED)
        batch = smallest_batch(parts.values())
        return replace(model, name=self.name, platform="outlier_check", outputs=outputs, max_batch_size=batch)
