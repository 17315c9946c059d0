"""FanOut: sends one request to several predictors at once, and makes one answer from theirs."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Literal

from msgspec.structs import replace

from mlpatterns.base import BasePredictor
from mlpatterns.context import NOTHING
from mlpatterns.errors import InternalError, InvalidInput, NotStarted, PredictionError
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec, names_in
from mlpatterns.pieces import piece
from mlpatterns.pieces.calls import PartCall, answers_later, ask_all, health_all
from mlpatterns.pieces.combined import CombinedMetadata, require_same_inputs, smallest_batch
from mlpatterns.pieces.identity import combined_identity
from mlpatterns.predictor import Health, InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.user_code import await_user_code, call_user_code
from mlpatterns.user_errors import CompositionError

__all__ = ["FanOut"]

log = logging.getLogger("mlpatterns")


Outputs = Mapping[str, Array]
Combine = Callable[[Mapping[str, InferenceResponse]], Outputs | Awaitable[Outputs]]


@piece(lambda inner, _: FanOut({"left": inner, "right": inner}))
class FanOut(BasePredictor):
    """Calls several predictors at once, e.g. ``FanOut({"setosa": a, "virginica": b})``.

    The query ``health/all`` gives the health of each part by name. The note `ms` of each part has its duration in
    milliseconds.

    Args:
        parts: the predictors by name; all take the same inputs.
        combine: makes the outputs from the answers of the parts; by default the answer has all outputs of the parts,
            named ``part.output``.
        on_failure: ``fail``: the first error cancels the other parts and is raised. ``partial``: the answer is made of
            the parts that succeeded; it is marked as degraded, and its parameter ``missing`` names the others.
        outputs: the outputs that `combine` makes.
        primary_output: the output that the simple API returns; by default the first.
        labels: the class names of the primary output.
        digest: a digest of what `combine` does; without it a FanOut with `combine` has no identity.

    Raises:
        CompositionError: at the start: the parts do not take the same inputs. If a remote part is available only later,
            the error is logged, and the FanOut is not ready until the parts fit.
        PredictionError: the error of a part, with its name.
    """

    def __init__(
        self,
        parts: Mapping[str, Predictor],
        *,
        combine: Combine | None = None,
        on_failure: Literal["fail", "partial"] = "fail",
        outputs: Sequence[TensorSpec] = (),
        primary_output: str | None = None,
        labels: Sequence[str] = (),
        name: str = "fan_out",
        digest: str | None = None,
    ) -> None:
        super().__init__(name, parts)
        _check_options(parts, combine, outputs, primary_output)
        if on_failure not in ("fail", "partial"):
            raise CompositionError(f"on_failure must be 'fail' or 'partial', not {on_failure!r}")
        self.combine, self.on_failure, self.digest = combine, on_failure, digest
        self._outputs, self._primary = tuple(outputs), primary_output
        self._labels = names_in(f"{name!r}: labels", labels)
        self._described = CombinedMetadata(name, self.children, self._describe)
        self.operations = (health_all(self.children),)

    def overall_health(self, below: Sequence[Health]) -> Health:
        """Ready if all parts are ready; with ``partial``, if at least one part is."""
        whole = super().overall_health(below)
        some = self.on_failure == "partial" and any(health.ready for health in below)
        return Health(whole.ready or some, whole.reason)

    @property
    def metadata(self) -> ModelMetadata:
        return self._described.once_ready()

    def identity(self) -> str | None:
        return self._identity([part.identity() for part in self.children.values()])

    async def start(self, runtime: Runtime) -> None:
        self._path = runtime.path
        self._described.forget()
        with suppress(NotStarted):  # a remote part may not be available yet
            self._described.of_all()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        request = request.within(request.context.at(self._path))
        answers, errors = await ask_all(self._calls(request), fail_fast=self.on_failure == "fail")
        if errors and (self.on_failure == "fail" or not answers):
            raise next(iter(errors.values()))
        return await self._whole(request, answers, errors)

    async def _whole(
        self,
        request: InferenceRequest,
        came: Mapping[str, InferenceResponse],
        errors: Mapping[str, PredictionError],
    ) -> InferenceResponse:
        """One answer, made from the answers that arrived, in the order of the parts."""
        answers: dict[str, InferenceResponse] = {}
        identities, degraded = [], bool(errors)
        for name, part in self.children.items():
            if (answer := came.get(name)) is not None:
                answers[name] = answer
                identities.append(answer.identity)
                degraded = degraded or answer.degraded
                if answer.status == "accepted":
                    raise answers_later(name, "part")
            else:
                identities.append(part.identity())  # the part was not called, or it failed
        return InferenceResponse(
            _all_outputs(answers) if self.combine is None else await self._combined(answers, request.outputs),
            self.name,
            _versions(*[answer.model_version for answer in answers.values()]),
            None if errors else self._identity(identities),
            {"missing": ",".join(n for n in self.children if n in errors)} if errors else NOTHING,
            "done",
            degraded,
        )

    def _identity(self, identities: list[str | None]) -> str | None:
        if self.combine is not None and self.digest is None:
            return None
        return combined_identity("fan_out", self.digest or "", *self.children, *identities)

    def _calls(self, request: InferenceRequest) -> list[PartCall]:
        """Every part with its request: the same request except for the outputs, which have other names in the parts."""
        if not request.outputs:
            return [(name, part, request) for name, part in self.children.items()]
        if self.combine is not None:
            whole = replace(request, outputs=())
            return [(name, part, whole) for name, part in self.children.items()]
        asked: dict[str, list[str]] = {}
        for wanted in request.outputs:
            name, _, output = wanted.partition(".")
            if name not in self.children or not output:
                raise InvalidInput(f"there is no output {wanted!r}")
            asked.setdefault(name, []).append(output)
        return [(name, self.children[name], replace(request, outputs=tuple(asked[name]))) for name in asked]

    async def _combined(self, answers: Mapping[str, InferenceResponse], asked: Sequence[str]) -> Outputs:
        assert self.combine is not None
        try:
            made = call_user_code(self.combine, answers)
            outputs = await await_user_code(made) if inspect.isawaitable(made) else made
        except PredictionError:
            raise
        except Exception as error:
            log.exception("combining the answers of the parts of %r failed", self.name)
            raise InternalError("the answers of the parts could not be combined", logged=True) from error
        try:
            return {name: outputs[name] for name in asked or [spec.name for spec in self._outputs]}
        except KeyError as error:
            raise InternalError(f"the combined answer has no output {error}") from error

    def _describe(self, parts: Mapping[str, ModelMetadata]) -> ModelMetadata:
        require_same_inputs(self.name, parts)
        first_name, first = next(iter(parts.items()))
        if self.combine:
            outputs, primary, labels = self._outputs, self._primary or self._outputs[0].name, self._labels
        else:
            outputs = tuple(replace(s, name=f"{name}.{s.name}") for name, part in parts.items() for s in part.outputs)
            primary = self._primary or f"{first_name}.{first.primary_output}"
            labels = self._labels or first.labels
        version = _versions(*[part.version for part in parts.values()])
        threshold = None if self.combine or self._labels else first.threshold
        return ModelMetadata(self.name, version, "fan_out", first.inputs, outputs, primary, labels, first.sample,
                             smallest_batch(parts.values()), threshold)  # fmt: skip


def _check_options(
    parts: Mapping[str, Predictor], combine: Combine | None, outputs: Sequence[TensorSpec], primary: str | None
) -> None:
    if not parts:
        raise CompositionError("a FanOut needs at least one part")
    for name in parts:
        if not name or "." in name or "," in name:
            raise CompositionError(f"the part name {name!r} must have no dot and no comma, which separate names")
    if bool(combine) != bool(outputs):
        raise CompositionError(
            "combine and outputs go together: describe with outputs=[TensorSpec(...)] what combine returns"
        )
    if combine and primary is not None and primary not in [spec.name for spec in outputs]:
        raise CompositionError(f"the primary output {primary!r} is not one of the outputs")


@lru_cache(maxsize=256)
def _versions(*versions: str) -> str:
    return ",".join(dict.fromkeys(versions))


def _all_outputs(answers: Mapping[str, InferenceResponse]) -> dict[str, Array]:
    return {f"{name}.{key}": value for name, answer in answers.items() for key, value in answer.outputs.items()}
