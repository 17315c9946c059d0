"""The simple API, the book's: one row in gives one flat list out, several rows a list of lists.

POST /predict          {"data": [[5.1, 3.5, 1.4, 0.2]]}  ->  {"prediction": [0.97, 0.02, 0.01]}
POST /predict/label    the same                          ->  {"prediction": "setosa"}
GET  /predict/test, /predict/test/label, /metadata, /label
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import lru_cache, partial
from math import isfinite
from time import monotonic
from typing import Any

import numpy as np

from mlpatterns.datatypes import DTYPES
from mlpatterns.errors import InternalError, InvalidInput, NotFound, NotStarted, Unavailable
from mlpatterns.predictor import (
    Array,
    Context,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    Runtime,
)
from mlpatterns.server.exchange import JSON, Answer, Buffers, Call, Handler, encode
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.rows import Decode, decoder_for
from mlpatterns.server.statistics import rows_in

__all__ = ["OFFLOAD_BYTES", "Present", "SimpleApi", "provenance"]

Present = Callable[[InferenceResponse], Any]
OFFLOAD_BYTES = 64 * 1024  # larger bodies are decoded and encoded in a thread


class SimpleApi:
    """The routes of one predictor.

    Args:
        present: from response to JSON, where the answer of `/predict` has another shape than `{"prediction": …}`.
        max_elements: numbers of one tensor.
    """

    def __init__(
        self, predictor: Hosted, runtime: Runtime, buffers: Buffers, present: Present | None, max_elements: int
    ) -> None:
        self.predictor, self.runtime, self.buffers = predictor, runtime, buffers
        self._present, self._max_elements, self._statistics = present, max_elements, predictor.statistics
        self._decode: Decode | None = None
        self._input = ""
        self._asked: tuple[str, ...] = ()

    def routes(self) -> dict[str, tuple[str, Handler]]:
        """Path -> (method, handler)."""
        return {
            "/predict": ("POST", self.predict),
            "/predict/label": ("POST", self.predict_label),
            "/predict/test": ("GET", self.test),
            "/predict/test/label": ("GET", self.test_label),
            "/metadata": ("GET", self.metadata),
            "/label": ("GET", self.label),
        }

    # ---- answering ----

    # The first is what is called most: it hands on the coroutine instead of awaiting it in one of its own.
    def predict(self, call: Call) -> Coroutine[Any, Any, Answer]:
        return self._posted(call, self._present or prediction)

    async def predict_label(self, call: Call) -> Answer:
        return await self._posted(call, partial(labels, self._described().labels))

    async def test(self, call: Call) -> Answer:
        return await self._answer(self._sample(), call, self._present or prediction, monotonic())

    async def test_label(self, call: Call) -> Answer:
        return await self._answer(self._sample(), call, partial(labels, self._described().labels), monotonic())

    async def label(self, call: Call) -> Answer:
        described = self._described()
        if not described.labels:
            raise NotFound("this model has no labels")
        if described.inputs[0].content == "image":
            return Answer(encode(described.labels))
        return Answer(encode({str(index): label for index, label in enumerate(described.labels)}))

    async def metadata(self, call: Call) -> Answer:
        described = self._described()
        inputs = self._sample()
        response = await self.predictor.predict(self._request(inputs, call))
        spec = described.inputs[0]
        image = spec.content == "image"
        values = response.outputs[self._asked[0]]
        sample = inputs[spec.name]
        return Answer(encode({
            "data_type": "str" if spec.datatype == "BYTES" else DTYPES[spec.datatype].name,
            "data_structure": "(1,1)" if image else structure(sample),
            "data_sample": "base64 encoded image file" if image else listed(sample),
            "prediction_type": "str" if values.dtype.kind == "O" else values.dtype.name,
            "prediction_structure": structure(values),
            "prediction_sample": one_or_all(values),
        }))  # fmt: skip

    # ---- the parts of an answer ----

    async def _posted(self, call: Call, present: Present) -> Answer:
        decode = self._decode or self._prepare()
        body = await self.buffers.read(call)
        began = monotonic()
        rows = decode(body) if len(body) <= OFFLOAD_BYTES else await self.runtime.offload(partial(decode, body))
        return await self._answer({self._input: rows}, call, present, began)

    async def _answer(self, inputs: Mapping[str, Array], call: Call, present: Present, began: float) -> Answer:
        asked = monotonic()
        try:
            response = await self.predictor.predict(self._request(inputs, call))
            answered = monotonic()
            if response.status == "done" and response.outputs[self._asked[0]].size * 8 > OFFLOAD_BYTES:
                body = await self.runtime.offload(lambda: encode(present(response)))
            else:
                body = encode(present(response))
        except BaseException:
            self._statistics.failed(monotonic() - asked)
            raise
        self._statistics.answered(rows_in(inputs), began, asked, answered, monotonic())
        return Answer(body, provenance(response, call.context))

    def _request(self, inputs: Mapping[str, Array], call: Call) -> InferenceRequest:
        return InferenceRequest(inputs, call.context, outputs=self._asked, deadline=call.deadline)

    def _described(self) -> ModelMetadata:
        try:
            return self.predictor.metadata
        except NotStarted:
            raise Unavailable("the model is not ready yet", retry_after=1) from None

    def _prepare(self) -> Decode:
        """Compiles the decoder once the model is known (a remote one may become known late)."""
        described = self._described()
        if len(described.inputs) != 1:
            names = ", ".join(spec.name for spec in described.inputs)
            raise InvalidInput(
                f"this model takes {len(described.inputs)} inputs ({names}), and the simple API sends one: "
                f"use the Open Inference Protocol, POST /v2/models/{self.predictor.name}/infer"
            )
        self._input, self._asked = described.inputs[0].name, (described.primary_output,)
        self._decode = decoder_for(described.inputs[0], self._max_elements)
        return self._decode

    def _sample(self) -> Mapping[str, Array]:
        if self._decode is None:
            self._prepare()
        sample = self._described().sample
        if sample is None:
            raise NotFound("this model has no sample")
        return sample


def prediction(response: InferenceResponse) -> Any:
    """`{"prediction": …}` of the first output asked for."""
    return {"prediction": one_or_all(next(iter(response.outputs.values())))}


def labels(names: tuple[str, ...], response: InferenceResponse) -> Any:
    """`{"prediction": label}`, a list of them for several rows: the name of the highest score of each row.

    One score for two names is scikit-learn's decision function: above 0 it is the second.
    """
    if not names:
        raise NotFound("this model has no labels")
    scores = next(iter(response.outputs.values()))
    if scores.ndim == 2 and scores.shape[1] == len(names):
        indices = scores.argmax(axis=1)
    elif scores.ndim == 2 and scores.shape[1] == 1 and len(names) == 2:
        indices = (scores[:, 0] > 0).astype(np.int64)
    else:
        raise InternalError("the model's answer has no score for each label")
    best = [names[index] for index in indices.tolist()]
    return {"prediction": best[0] if len(best) == 1 else best}


def one_or_all(values: Array) -> Any:
    """The one row flat, several rows as they are.

    Raises:
        InvalidInput: a value is NaN or infinite, for which JSON has no word.
    """
    if values.ndim == 2 and len(values) == 1 and values.dtype.kind == "f":  # by far the most frequent
        row = values[0].tolist()
        if isfinite(sum(row)) or np.isfinite(values).all():
            return row
    rows = listed(values)
    if values.ndim and len(rows) == 1:
        rows = rows[0]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InvalidInput("the answer holds NaN or infinity, which JSON cannot say; ask for binary output over OIP")
    return rows


def listed(values: Array) -> Any:
    """An array as nested lists; bytes become the text that they are."""
    if values.dtype.kind != "O":
        return values.tolist()
    texts = [text.decode(errors="replace") if isinstance(text, bytes) else text for text in values.flat]
    return np.array(texts, dtype=object).reshape(values.shape).tolist()


def structure(values: Array) -> str:
    """A shape in the book's spelling: `(1,4)`."""
    return f"({','.join(str(size) for size in values.shape)})"


def provenance(response: InferenceResponse, context: Context) -> tuple[tuple[bytes, bytes], ...]:
    """Where the answer came from, as headers; names and notes are ours, never a client's."""
    version = _header("x-mlp-version", response.model_version)
    if not context.notes and not response.degraded:
        return (JSON, version)
    notes = [_header(f"x-mlp-{name}", str(context.notes[name])) for name in ("arm", "cache") if name in context.notes]
    if response.degraded:
        notes.append((b"x-mlp-degraded", b"true"))
    return (JSON, version, *notes)


@lru_cache(maxsize=256)  # few versions, arms and states, each in every answer
def _header(name: str, value: str) -> tuple[bytes, bytes]:
    """A header of a value that may come from a remote model: whatever is not plain text is a question mark."""
    return name.encode(), "".join(c if c.isascii() and c.isprintable() else "?" for c in value[:256]).encode()
