"""The JSON answers of the simple API: the usual ones, and those that a pattern replaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from mlpatterns.context import NOTHING, Context
from mlpatterns.metadata import ModelMetadata
from mlpatterns.predictor import Health, InferenceResponse
from mlpatterns.tensors import best_labels, listed, one_or_all

__all__ = ["Answers", "label", "nested_prediction", "prediction"]


class Answers(Struct, frozen=True):
    """The answers of the simple API that differ from the usual ones.

    Each function gets the value to answer with and the caller's context, and returns a value that can be encoded as
    JSON. The first line of its docstring documents the answer.

    Attributes:
        predict: makes the answer of `/predict` from a response with all outputs. The response's `described` is the
            metadata of the model that answered. For an accepted request the answer is still its job id.
        label: the same for `/predict/label`.
        also: returns fields to add to both answers, e.g. `mode` in `{"prediction": …, "mode": …}`.
        metadata: makes the answer of `/metadata` from the metadata. The model then makes no prediction for `/metadata`.
        sample: returns fields to add to `/metadata`, from a response to the model's sample with all outputs.
        health: makes the answer of `/health`. It gets whether all models can answer, and the reason if they cannot.
        aliases: maps an additional path to the path of the simple API with the same handler, e.g.
            `{"/predict/get/test": "/predict/test"}`. The values of `{names}` in a path are in `Context.path`;
            `{job_id}` is the caller's own id.
    """

    predict: Callable[[InferenceResponse, Context], Any] | None = None
    label: Callable[[InferenceResponse, Context], Any] | None = None
    also: Callable[[InferenceResponse, Context], Mapping[str, Any]] | None = None
    metadata: Callable[[ModelMetadata, Context], Any] | None = None
    sample: Callable[[InferenceResponse, Context], Mapping[str, Any]] | None = None
    health: Callable[[Health, Context], Any] | None = None
    aliases: Mapping[str, str] = NOTHING


def prediction(response: InferenceResponse, described: ModelMetadata) -> Any:
    """`{"prediction": …}` with the first output that was requested."""
    return {"prediction": one_or_all(next(iter(response.outputs.values())))}


def nested_prediction(response: InferenceResponse, context: Context) -> Any:
    """`{"prediction": [[…]]}`: the primary output of each row, in a list even for one row alone.

    Args:
        response: has all outputs.
        context: the caller's context, which is not used.
    """
    described = response.described
    primary = described.primary_output if described is not None else next(iter(response.outputs))
    one_or_all(response.outputs[primary])  # only to raise its error for values that JSON cannot express
    return {"prediction": listed(response.outputs[primary])}


def label(response: InferenceResponse, described: ModelMetadata) -> Any:
    """`{"prediction": label}`: the label with the highest score. For several rows it is a list with one per row."""
    return {"prediction": best_labels(next(iter(response.outputs.values())), described.labels, described.threshold)}
