"""The simple API, the book's: one row in gives one flat list out, several rows a list of lists.

POST /predict          {"data": [[5.1, 3.5, 1.4, 0.2]]}  ->  {"prediction": [0.97, 0.02, 0.01]}
POST /predict/label    the same                          ->  {"prediction": "setosa"}
GET  /predict/test, /predict/test/label, /metadata, /label
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from functools import lru_cache, partial
from time import monotonic
from typing import Any

from mlpatterns.context import Context
from mlpatterns.datatypes import DTYPES
from mlpatterns.errors import CompositionError, InvalidInput, NotFound, NotStarted, Unavailable
from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.exchange import JSON, Answer, Buffers, Call, Handler, encode
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.presentation import (
    Present,
    Presentation,
    labels,
    listed,
    one_or_all,
    prediction,
    structure,
)
from mlpatterns.server.rows import Decode, decoder_for
from mlpatterns.server.statistics import rows_in

__all__ = ["OFFLOAD_BYTES", "SimpleApi", "provenance"]

OFFLOAD_BYTES = 64 * 1024  # larger bodies are decoded and encoded in a thread


class SimpleApi:
    """The routes of one predictor.

    Args:
        presentation: where answers have another shape than `{"prediction": …}`, or other paths too.
        max_elements: numbers of one tensor.
    """

    def __init__(
        self, predictor: Hosted, runtime: AppRuntime, buffers: Buffers, presentation: Presentation, max_elements: int
    ) -> None:
        self.predictor, self.runtime, self.buffers = predictor, runtime, buffers
        self._present, self._present_label = presentation.predict or prediction, presentation.label
        self._own = frozenset({presentation.predict, presentation.label})  # these get all outputs
        self._aliases = presentation.aliases
        self._max_elements, self._statistics = max_elements, predictor.statistics
        self._decode: Decode | None = None
        self._input = ""
        self._asked: tuple[str, ...] = ()

    def routes(self) -> dict[str, tuple[str, Handler]]:
        """Path -> (method, handler).

        Raises:
            CompositionError: an alias is for a path that is not here, or is one that is.
        """
        routes: dict[str, tuple[str, Handler]] = {
            "/predict": ("POST", self.predict),
            "/predict/label": ("POST", self.predict_label),
            "/predict/test": ("GET", self.test),
            "/predict/test/label": ("GET", self.test_label),
            "/metadata": ("GET", self.metadata),
            "/label": ("GET", self.label),
        }
        for path, other in self._aliases.items():
            if path in routes or other not in routes:
                raise CompositionError(
                    f"{path} cannot be an alias of {other}: give one of {', '.join(routes)} a path that is not there"
                )
        return routes | {path: routes[other] for path, other in self._aliases.items()}

    # ---- answering ----

    # The first is what is called most: it hands on the coroutine instead of awaiting it in one of its own.
    def predict(self, call: Call) -> Coroutine[Any, Any, Answer]:
        return self._posted(call, self._present)

    async def predict_label(self, call: Call) -> Answer:
        return await self._posted(call, self._labelled())

    async def test(self, call: Call) -> Answer:
        call.context.purpose = "test"
        return await self._answer(self._sample(), call, self._present, monotonic())

    async def test_label(self, call: Call) -> Answer:
        call.context.purpose = "test"
        return await self._answer(self._sample(), call, self._labelled(), monotonic())

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
        call.context.purpose = "probe"
        response = await self.predictor.predict(self._request(inputs, call, self._asked))
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
        rows = decode(body) if len(body) <= OFFLOAD_BYTES else await self.runtime.offload_codec(partial(decode, body))
        return await self._answer({self._input: rows}, call, present, began)

    async def _answer(self, inputs: Mapping[str, Array], call: Call, present: Present, began: float) -> Answer:
        asked = monotonic()
        try:
            outputs = () if present in self._own else self._asked
            response = await self.predictor.predict(self._request(inputs, call, outputs))
            answered = monotonic()
            if response.status == "done" and response.outputs[self._asked[0]].size * 8 > OFFLOAD_BYTES:
                body = await self.runtime.offload_codec(lambda: encode(present(response)))
            else:
                body = encode(present(response))
        except BaseException:
            if call.context.purpose == "request":
                self._statistics.failed(monotonic() - asked)
            raise
        if call.context.purpose == "request":
            self._statistics.answered(rows_in(inputs), began, asked, answered, monotonic())
        return Answer(body, provenance(response, call.context))

    def _request(self, inputs: Mapping[str, Array], call: Call, outputs: tuple[str, ...]) -> InferenceRequest:
        call.context.where = self.predictor.path
        return InferenceRequest(inputs, call.context, outputs=outputs, deadline=call.deadline)

    def _labelled(self) -> Present:
        return self._present_label or partial(labels, self._described().labels)

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


def provenance(response: InferenceResponse, context: Context) -> tuple[tuple[bytes, bytes], ...]:
    """Where the answer came from, as headers: the version and the public notes, the last of each key; none is a
    client's."""
    version = _header("x-mlp-version", response.model_version)
    if not context.notes and not response.degraded:
        return (JSON, version)
    public = {note.key: str(note.value) for note in context.notes if note.public}
    notes = [_header(f"x-mlp-{key}", value) for key, value in public.items()]
    if response.degraded:
        notes.append((b"x-mlp-degraded", b"true"))
    return (JSON, version, *notes)


@lru_cache(maxsize=256)  # few versions, arms and states, each in every answer
def _header(name: str, value: str) -> tuple[bytes, bytes]:
    """A header of a value that may come from a remote model: whatever is not plain text is a question mark."""
    return name.encode(), "".join(c if c.isascii() and c.isprintable() else "?" for c in value[:256]).encode()
