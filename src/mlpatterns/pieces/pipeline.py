"""Pipeline: runs stages one after another; the outputs of each stage are the inputs of the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise

from msgspec.structs import replace

from mlpatterns.base import BasePredictor, name_of
from mlpatterns.context import Context
from mlpatterns.errors import DeadlineExceeded, InternalError, NotStarted
from mlpatterns.interfaces import Clock
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec
from mlpatterns.pieces import piece
from mlpatterns.pieces.calls import answers_later, error_within, health_all
from mlpatterns.pieces.combined import CombinedMetadata, smallest_batch
from mlpatterns.pieces.identity import combined_identity
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.tensors import read_only
from mlpatterns.user_errors import CompositionError

__all__ = ["Pipeline"]


@piece(lambda inner, other: Pipeline(other, inner), diagram="numbered")
class Pipeline(BasePredictor):
    """Runs stages in order, e.g. ``Pipeline(preprocessing, model, postprocessing)``.

    A stage takes the outputs of the stage before it by name, if these include all its input names. Otherwise a stage
    with one input takes the only output or the primary output, whatever its name is. The outputs that the caller
    requests are those of the last stage. The note `ms` of each stage has its duration in milliseconds.

    Args:
        stages: at least one, in the order in which they run.
        tells_health: whether to offer the query ``health/all`` with the health of each stage by name, for stages in
            other processes.

    Raises:
        CompositionError: at the start: two stages do not fit together. If a remote stage is available only later, the
            error is logged, and the Pipeline is not ready until the stages fit.
        PredictionError: the error of a stage, with its name.
    """

    def __init__(self, *stages: Predictor, name: str = "pipeline", tells_health: bool = False) -> None:
        if not stages:
            raise CompositionError("a Pipeline needs at least one stage")
        super().__init__(name, dict(zip(_names(stages), stages, strict=True)))
        self.operations = (health_all(self.children),) if tells_health else ()
        *self._early, self._last = self.children.items()
        self._links: dict[str, tuple[tuple[str, str], ...]] = {}
        self._described = CombinedMetadata(name, self.children, self._describe)

    @property
    def metadata(self) -> ModelMetadata:
        return self._described.once_ready()

    def identity(self) -> str | None:
        return combined_identity("pipeline", *[stage.identity() for stage in self.children.values()])

    async def start(self, runtime: Runtime) -> None:
        self._clock: Clock = runtime.clock
        self._path = runtime.path
        self._described.forget()
        self._links = {}
        stages = list(self.children.items())
        for (_, stage), (name, following) in pairwise(stages):
            with suppress(NotStarted):  # a remote stage may not be available yet; the first request links it
                self._links[name] = _link(stage.metadata, following.metadata)

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        context = request.context.at(self._path)
        asked, before = await self._prepare(request, context)
        name, stage = self._last
        try:
            with context.step(name) as inside:
                answer = await stage.predict(asked.within(inside))
        except Exception as error:
            raise error_within(name, error) from error
        return self._whole(before, answer)

    async def _prepare(
        self, request: InferenceRequest, context: Context
    ) -> tuple[InferenceRequest, list[InferenceResponse]]:
        """Runs all stages but the last; returns the request for the last stage, and the answers of the others."""
        answers: list[InferenceResponse] = []
        if not self._early:
            return request, answers
        stages = [*self._early, self._last]
        asked = _ask(request, request.inputs, ()) if request.outputs else request
        for position, (name, stage) in enumerate(self._early, 1):
            try:
                with context.step(name) as inside:
                    answer = await stage.predict(asked.within(inside))
            except Exception as error:
                raise error_within(name, error) from error
            if answer.status == "accepted":
                raise answers_later(name)
            answers.append(answer)
            following = stages[position]
            if request.deadline is not None and self._clock.monotonic() >= request.deadline:
                raise DeadlineExceeded().within(following[0])
            inputs = self._hand_over(name, stage, following, answer.outputs)
            asked = _ask(request, inputs, request.outputs if following is self._last else ())
        return asked, answers

    def _hand_over(
        self, name: str, stage: Predictor, following: tuple[str, Predictor], outputs: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        link = self._links.get(following[0])
        if link is None:
            try:
                link = self._links[following[0]] = _link(stage.metadata, following[1].metadata)
            except NotStarted as error:
                raise error_within(following[0], error) from error
        try:
            return {target: read_only(outputs[source]) for source, target in link}
        except KeyError as error:
            raise InternalError(f"this stage gave no output {error}", stages=(name,)) from error

    def _whole(self, before: Sequence[InferenceResponse], answer: InferenceResponse) -> InferenceResponse:
        """The answer of the last stage as the answer of the pipeline."""
        return InferenceResponse(
            answer.outputs,
            self.name,
            answer.model_version,
            combined_identity("pipeline", *[early.identity for early in before], answer.identity),
            answer.parameters,
            answer.status,
            answer.degraded or any([early.degraded for early in before]),  # noqa: C419 - a list is faster
            answer.described,
        )

    def _describe(self, parts: Mapping[str, ModelMetadata]) -> ModelMetadata:
        self._links = {name: _link(a, b) for (_, a), (name, b) in pairwise(parts.items())}
        first, last = parts[next(iter(parts))], parts[self._last[0]]
        return replace(last, name=self.name, platform="pipeline", inputs=first.inputs, sample=first.sample,
                       max_batch_size=smallest_batch(parts.values()))  # fmt: skip


def _ask(request: InferenceRequest, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> InferenceRequest:
    return InferenceRequest(inputs, request.context, request.id, request.parameters, outputs, request.deadline)


def _names(stages: Sequence[Predictor]) -> list[str]:
    """The names of the stages; repeated names get the suffixes _2, _3."""
    names: list[str] = []
    for stage in stages:
        name, count = name_of(stage), 1
        while name in names:
            count += 1
            name = f"{stage.name}_{count}"
        names.append(name)
    return names


def _link(stage: ModelMetadata, following: ModelMetadata) -> tuple[tuple[str, str], ...]:
    """The pairs of an output of `stage` and the input of `following` that it becomes."""
    outputs = {spec.name: spec for spec in stage.outputs}
    wanted = following.inputs
    if all(spec.name in outputs for spec in wanted):
        pairs = [(outputs[spec.name], spec) for spec in wanted]
    elif len(wanted) == 1 and (len(outputs) == 1 or stage.primary_output in outputs):
        pairs = [(stage.outputs[0] if len(outputs) == 1 else outputs[stage.primary_output], wanted[0])]
    else:
        missing = ", ".join(repr(spec.name) for spec in wanted if spec.name not in outputs)
        raise CompositionError(
            f"{following.name!r} takes {missing}, which {stage.name!r} does not give; it gives {', '.join(outputs)}"
        )
    _check_datatypes(stage, following, pairs)
    return tuple((source.name, target.name) for source, target in pairs)


def _check_datatypes(
    stage: ModelMetadata, following: ModelMetadata, pairs: Sequence[tuple[TensorSpec, TensorSpec]]
) -> None:
    for source, target in pairs:
        if source.datatype != target.datatype:
            raise CompositionError(
                f"{following.name!r} takes {target.name!r} as {target.datatype}, but {stage.name!r} gives "
                f"{source.datatype}; convert it in {stage.name!r}"
            )
