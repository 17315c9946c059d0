"""Finds facts about a running app by predictions; they determine the tests that its project can have."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import PredictionError
from mlpatterns.launch.own_stores import own_stores
from mlpatterns.launch.target import registered_models
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec
from mlpatterns.pieces.identity import has_metadata
from mlpatterns.predictor import Predictor
from mlpatterns.runtime import start_order
from mlpatterns.server.answers import Answers
from mlpatterns.server.app import App
from mlpatterns.tensors import finite
from mlpatterns.testing import request, until
from mlpatterns.user_errors import NotOffered, UserError

__all__ = ["ServedFacts", "facts_of", "load_app"]


PATIENCE = 30.0  # seconds until an app is ready
# Always the same, because the model that answers may depend on the caller; the project's tests send it too.
CALLER = {"user-id": "tests"}


class ServedFacts(Struct, frozen=True):
    """A model that an app serves, with the facts that hold for it.

    Attributes:
        answers: it answers its sample at once, with every output.
        simple: the simple API can send its input.
        sample: the simple API can also send its sample, and the answer is the same each time.
        plain: that answer is `{"prediction": …}` of the primary output.
        rows: each of several rows gets the same answer as alone.
        labelled: each column of the answer has a label, and `/predict/label` returns that of the highest value.
    """

    name: str
    metadata: ModelMetadata
    answers: bool = False
    simple: bool = False
    sample: bool = False
    plain: bool = False
    rows: bool = False
    labelled: bool = False


def load_app(path: Path) -> App:
    """Loads the app of a file that `new` wrote.

    Raises:
        NotOffered: the app needs a registry.
    """
    app: App = runpy.run_path(str(path))["app"]
    left = ", ".join(sorted({str(reference) for reference in registered_models(app)}))
    if left:
        raise NotOffered(
            f"this pattern names {left} in a way that cannot be replaced by a file; start from another pattern"
        )
    return app


async def facts_of(app: App) -> list[ServedFacts]:
    """Starts an app with temporary stores, sends each of its models its sample, and stops the app.

    Raises:
        UserError: the app does not start, or is not ready in time.
    """
    with own_stores():
        async with app.running():
            for model in app.models.values():
                await _ready(model)
            return [await _fact(name, model, app.answers) for name, model in app.models.items()]


async def _ready(model: Predictor) -> None:
    """Waits until each piece of the model has metadata. A JobQueue gets its metadata from its worker, which starts
    later."""
    pieces = [piece for _, piece in start_order([(model.name, model)])]

    async def described() -> bool:
        return all(map(has_metadata, pieces))

    if not await until(described, PATIENCE) and not has_metadata(model):
        raise UserError(f"{model.name} was not ready within {PATIENCE:g} s: {model.health().reason}")


async def _fact(name: str, model: Predictor, answers: Answers) -> ServedFacts:
    described = model.metadata
    simple = len(described.inputs) == 1 and _sendable(described.inputs[0], described.sample)
    once = await _answer(model, described.sample) if described.sample is not None else None
    if described.sample is None or once is None:
        return ServedFacts(name, described, simple=simple)
    plain = simple and answers.predict is None and answers.also is None
    columns = once.shape[1] if once.ndim == 2 else 0
    return ServedFacts(
        name,
        described,
        answers=True,
        simple=simple,
        sample=simple and await _repeats(model, described.sample, answers),
        plain=plain,
        rows=plain and await _each_row(model, described.sample, once),
        labelled=plain and answers.label is None and 0 < columns == len(described.labels),
    )


def _sendable(spec: TensorSpec, sample: Mapping[str, Array] | None) -> bool:
    """Whether JSON rows can represent the input: it has rows, and at most one text per row."""
    if not spec.shape:
        return False
    return spec.datatype != "BYTES" or sample is None or sample[spec.name].size == len(sample[spec.name])


async def _answer(model: Predictor, inputs: Mapping[str, Array]) -> Array | None:
    """The primary output; None if an output is missing, as for a waiting job, or if JSON cannot represent it."""
    try:
        response = await model.predict(request(inputs, headers=CALLER))
    except PredictionError:
        return None
    described, outputs = model.metadata, response.outputs
    if response.status == "accepted" or set(outputs) != {spec.name for spec in described.outputs}:
        return None
    return outputs[described.primary_output] if finite(outputs) else None


async def _repeats(model: Predictor, inputs: Mapping[str, Array], answers: Answers) -> bool:
    """Whether a second prediction gives the same outputs and the same response, apart from the id of a job."""
    asked = [request(inputs, headers=CALLER) for _ in range(2)]
    first, again = [await model.predict(each) for each in asked]
    if answers.predict is not None and first.status == "done":
        described = first.described or model.metadata
        shown = [
            answers.predict(replace(found, described=described), each.context)
            for found, each in zip((first, again), asked, strict=True)
        ]
        for one in shown:
            if isinstance(one, dict):
                one.pop("job_id", None)
        return bool(shown[0] == shown[1])
    return all(_same(value, again.outputs[name]) for name, value in first.outputs.items())


async def _each_row(model: Predictor, sample: Mapping[str, Array], once: Array) -> bool:
    """Whether the sample and other rows get the same outputs in one request as in separate ones; `once` is the sample's
    output."""
    others = {name: value if value.dtype == object else np.ones_like(value) for name, value in sample.items()}
    alone = await _answer(model, others)
    together = await _answer(model, {name: np.concatenate([sample[name], others[name]]) for name in sample})
    if alone is None or together is None or once.ndim == 0 or len(together) != 2 * len(once):
        return False
    expected = np.concatenate([once, alone])
    return expected.shape == together.shape and _same(expected, together)


def _same(values: Array, others: Array) -> bool:
    return np.allclose(values, others, atol=1e-5) if values.dtype.kind in "fiub" else bool((values == others).all())
