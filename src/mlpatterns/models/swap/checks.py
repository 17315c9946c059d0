"""What a version must answer before it takes another's place."""

from __future__ import annotations

from collections.abc import Iterator

from mlpatterns.context import Context
from mlpatterns.errors import CompositionError, ModelFileError, PredictionError
from mlpatterns.ids import new_id
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.models.sample_answers import check_sample
from mlpatterns.predictor import InferenceRequest, Predictor, Runtime
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.files import ModelFiles
from mlpatterns.registry.golden import GoldenSet, agree, golden_set
from mlpatterns.runtime import leaves_first

__all__ = ["check_answers", "check_golden"]


async def check_answers(
    predictor: Predictor, reference: RegisteredReference, runtime: Runtime, *, required: bool
) -> None:
    """Whether a started version answers its golden set as it did when it was trained: files may be whole and the
    machine, or the library that runs them, another. Without a golden set, whether it answers its sample with finite
    numbers.

    Args:
        predictor: what was built of `reference`.
        required: a version without a golden set is refused.

    Raises:
        CompositionError: nothing in `predictor` was built of `reference`.
        ModelFileError: it answers otherwise, or with NaN, or has no golden set.
    """
    loaded = list(_loaded(predictor, reference))
    if not loaded:
        raise CompositionError(
            f"`make` built nothing of {reference}: let it give the reference it gets to its OnnxModel"
        )
    for leaf, files in loaded:
        golden = await runtime.offload(lambda files=files: golden_set(files))  # type: ignore[misc]
        if golden is not None:
            await check_golden(leaf, golden)
        elif required:
            raise ModelFileError("it has no golden set to be checked with")
        else:
            await check_sample(leaf)


def _loaded(predictor: Predictor, reference: RegisteredReference) -> Iterator[tuple[Predictor, ModelFiles]]:
    for leaf in leaves_first(predictor):
        if isinstance(leaf, OnnxModel) and leaf.reference == reference and leaf.files is not None:
            yield leaf, leaf.files


async def check_golden(leaf: Predictor, golden: GoldenSet) -> None:
    """Whether a started model answers its golden set.

    Raises:
        ModelFileError: it does not.
    """
    try:
        answered = await leaf.predict(InferenceRequest(golden.inputs, Context(new_id(), purpose="probe")))
    except PredictionError as error:
        raise ModelFileError(f"it does not answer its golden set: {error}") from error
    for name, expected in golden.outputs.items():
        got = answered.outputs.get(name)
        if got is None or not agree(expected, got, golden.tolerance):
            raise ModelFileError(f"its output {name!r} is not what its golden set says")
