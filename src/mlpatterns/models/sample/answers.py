"""Runs a model on its sample: checks that the model answers, and makes the golden set that copies of it must match."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from msgspec import Struct

from mlpatterns.context import Context
from mlpatterns.errors import InvalidInput, PredictionError
from mlpatterns.ids import new_id
from mlpatterns.metadata import Array
from mlpatterns.models.onnx.trial import blank
from mlpatterns.predictor import InferenceRequest, Predictor
from mlpatterns.registry.golden import Golden, agree, chosen_rows, make_golden
from mlpatterns.user_errors import ModelFileError

__all__ = ["SampleAnswers", "check_finite", "check_sample", "golden_of"]

CLOSE = 1e-4  # tolerance, as a share of the largest output: another machine may add numbers in another order


class SampleAnswers(Struct, frozen=True):
    """Inputs, and the outputs of a model for them."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


async def check_sample(leaf: Predictor) -> SampleAnswers | None:
    """The answers of a started model to its sample; None if the model refuses a generated sample, which proves nothing.

    A sample of zeros counts as generated. Some models have no finite answer for zeros (for example, a row divided by
    its length), so a sample of ones is tried next.

    Raises:
        ModelFileError: the model does not answer, or its answer has NaN or infinite numbers.
    """
    described = leaf.metadata
    given = described.sample or blank(described.inputs)
    if not _is_blank(given):
        return await _asked(leaf, given)
    try:
        return await _asked(leaf, given)
    except ModelFileError as error:
        try:
            return await _asked(leaf, {name: _ones(value) for name, value in given.items()})
        except ModelFileError:
            if isinstance(error.__cause__, InvalidInput):
                return None
            raise error from error.__cause__


async def golden_of(leaf: Predictor, rows: Mapping[str, Array] | None) -> tuple[Golden | None, str]:
    """A golden set of a started model and an empty text, or None and the reason why there is none.

    Args:
        rows: the inputs to choose rows from, by name; if None, the model's own sample is used.

    Raises:
        ModelFileError: the model does not answer the rows or the sample, or an answer is not finite.
    """
    described = leaf.metadata
    if rows is not None:
        chosen = chosen_rows(rows, described.inputs, described.max_batch_size)
        sampled = await _asked(leaf, chosen)
    else:
        found = await check_sample(leaf)
        if found is None:
            return None, "the model refused a sample of zeros; --sample FILE gives it real rows"
        sampled = found
    again = await _asked(leaf, sampled.inputs)
    tolerance = CLOSE * max(1.0, *_sizes(sampled.outputs))
    if not all(agree(value, again.outputs[name], tolerance) for name, value in sampled.outputs.items()):
        return None, "the model answers the same rows in another way each time"
    try:
        return make_golden(sampled.inputs, sampled.outputs, tolerance), ""
    except ValueError as error:  # bytes that are not UTF-8 raise one too
        return None, f"its sample cannot be kept as text: {error}"


def check_finite(outputs: Mapping[str, Array]) -> None:
    """Checks that the answers to a sample are finite.

    Raises:
        ModelFileError: an output has NaN or infinite numbers.
    """
    for name, value in outputs.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            what = "NaN" if np.isnan(value).any() else "infinite numbers"
            raise ModelFileError(f"its output {name!r} has {what} for its own sample")


async def _asked(leaf: Predictor, inputs: Mapping[str, Array]) -> SampleAnswers:
    try:
        response = await leaf.predict(InferenceRequest(inputs, Context(new_id(), purpose="probe")))
    except PredictionError as error:
        raise ModelFileError(f"it does not answer its own sample: {error}") from error
    check_finite(response.outputs)
    return SampleAnswers(inputs, response.outputs)


def _is_blank(sample: Mapping[str, Array]) -> bool:
    return not any(value.astype(bool).any() for value in sample.values())


def _ones(value: Array) -> Array:
    return np.full(value.shape, b"1" if value.dtype == object else 1, dtype=value.dtype)


def _sizes(outputs: Mapping[str, Array]) -> Iterator[float]:
    yield 1.0
    yield from (float(np.abs(value).max()) for value in outputs.values() if value.dtype.kind == "f" and value.size)
