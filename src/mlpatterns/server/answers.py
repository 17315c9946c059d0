"""What the simple API answers with: the usual JSON, or the shape that a pattern gives its answers."""

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
    """How the answers of the simple API look, where they are not the usual ones.

    Each function gets what is to be answered and the caller's context, and gives what can be JSON. The first line of
    its docstring documents the answer.

    Attributes:
        predict: of `/predict`, from a response of all outputs, whose `described` is the metadata of who answered. An
            accepted request is answered with its job id all the same.
        label: the same for `/predict/label`.
        also: more fields of both, beside the usual ones: `{"prediction": …, "mode": …}`.
        metadata: of `/metadata`, from the metadata; nothing is predicted for it.
        sample: what `/metadata` says beside the usual, from the response for the sample, of all outputs.
        health: of `/health`, from whether all models can answer, and why not.
        aliases: from another path to the one of the simple API that answers there too, as
            `{"/predict/get/test": "/predict/test"}`. The `{names}` in a path are in `Context.path`; `{job_id}` is the
            caller's own id.
    """

    predict: Callable[[InferenceResponse, Context], Any] | None = None
    label: Callable[[InferenceResponse, Context], Any] | None = None
    also: Callable[[InferenceResponse, Context], Mapping[str, Any]] | None = None
    metadata: Callable[[ModelMetadata, Context], Any] | None = None
    sample: Callable[[InferenceResponse, Context], Mapping[str, Any]] | None = None
    health: Callable[[Health, Context], Any] | None = None
    aliases: Mapping[str, str] = NOTHING


def prediction(response: InferenceResponse, described: ModelMetadata) -> Any:
    """`{"prediction": …}` of the first output asked for."""
    return {"prediction": one_or_all(next(iter(response.outputs.values())))}


def nested_prediction(response: InferenceResponse, context: Context) -> Any:
    """`{"prediction": [[…]]}`: the primary output of each row, of one row alone in a list too.

    Args:
        response: of all outputs.
        context: of the caller; it changes nothing.
    """
    described = response.described
    primary = described.primary_output if described is not None else next(iter(response.outputs))
    one_or_all(response.outputs[primary])  # it refuses what JSON cannot say
    return {"prediction": listed(response.outputs[primary])}


def label(response: InferenceResponse, described: ModelMetadata) -> Any:
    """`{"prediction": label}`, a list of them for several rows: the name of the highest score of each row."""
    return {"prediction": best_labels(next(iter(response.outputs.values())), described.labels, described.threshold)}
