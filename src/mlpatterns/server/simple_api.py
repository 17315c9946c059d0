"""The simple API, the book's: one row in gives one flat list out, several rows a list of lists.

POST /predict          {"data": [[5.1, 3.5, 1.4, 0.2]]}  ->  {"prediction": [0.97, 0.02, 0.01]}
POST /predict/label    the same                          ->  {"prediction": "setosa"}
GET  /predict/test, /predict/test/label, /metadata, /label
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from time import monotonic
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.context import Context
from mlpatterns.errors import CompositionError, InternalError, InvalidInput, NotFound
from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.answers import Answers, label, prediction
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.exchange import JSON, Answer, Call, Handler, encode
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.rows import Decode, decoder_for
from mlpatterns.tensors import LISTED_LABELS, batch_size, listed, one_or_all, read_only, structure

__all__ = ["JOB", "JOB_ID", "OFFLOAD_BYTES", "SimpleApi", "provenance"]

OFFLOAD_BYTES = 64 * 1024  # larger bodies are decoded and encoded in a thread
JOB_ID, JOB = "job_id", "job/{id}"  # the output of an accepted request, and the operation that tells of its job

Usual = Callable[[InferenceResponse, ModelMetadata], Any]
Shape = Callable[[InferenceResponse, Context], Any]


class Prepared(Struct, frozen=True):
    """How requests for one model are read: the array of the one `input`, by `decode`; `asked` is what it answers."""

    described: ModelMetadata
    input: str
    asked: tuple[str, ...]
    decode: Decode

    def read(self, body: bytes) -> Mapping[str, Array]:
        """The inputs in `body`, which nobody can write to; InvalidInput or TooLarge is raised if they do not fit."""
        rows, most = self.decode(body), self.described.max_batch_size
        if most is not None and len(rows) > most:
            raise InvalidInput(f"data holds {len(rows)} rows, but the model takes at most {most} in one request")
        rows.setflags(write=False)
        return {self.input: rows}


class SimpleApi:
    """The routes of one predictor.

    Args:
        answers: where they are not `{"prediction": …}`, or at other paths too.
        max_elements: numbers of one tensor.

    Attributes:
        job_path: of the model's operation `job/{id}`, if it has one; the app says it once it knows.
    """

    def __init__(
        self, predictor: Hosted, runtime: AppRuntime, buffers: Buffers, answers: Answers, max_elements: int
    ) -> None:
        self.predictor, self.runtime, self.buffers, self._answers = predictor, runtime, buffers, answers
        self._max_elements, self._statistics = max_elements, predictor.statistics
        self._last: Prepared | None = None
        self.job_path = ""

    def routes(self) -> dict[str, tuple[str, Handler]]:
        """Path -> (method, handler).

        Raises:
            CompositionError: an alias is for a path that is not here, or is one that is.
        """
        shapes, label_shapes = (prediction, self._answers.predict), (label, self._answers.label)
        routes: dict[str, tuple[str, Handler]] = {
            "/predict": ("POST", partial(self._posted, *shapes)),
            "/predict/label": ("POST", partial(self._posted, *label_shapes)),
            "/predict/test": ("GET", partial(self._tested, *shapes)),
            "/predict/test/label": ("GET", partial(self._tested, *label_shapes)),
            "/metadata": ("GET", self.metadata),
            "/label": ("GET", self.label),
        }
        for path, other in self._answers.aliases.items():
            if path in routes or other not in routes:
                raise CompositionError(
                    f"{path} cannot be an alias of {other}: give one of {', '.join(routes)} a path that is not there"
                )
        return routes | {path: routes[other] for path, other in self._answers.aliases.items()}

    # ---- answering ----

    async def label(self, call: Call) -> Answer:
        described = self.predictor.describe(call.context)
        if not described.labels:
            raise NotFound("this model has no labels")
        if described.inputs[0].content in LISTED_LABELS:
            return Answer(encode(described.labels))
        return Answer(encode({str(index): label for index, label in enumerate(described.labels)}))

    async def metadata(self, call: Call) -> Answer:
        call.context.purpose = "probe"
        if self._answers.metadata is not None:
            return Answer(encode(self._answers.metadata(self.predictor.describe(call.context), call.context)))
        prepared, more = self._prepared(call.context), self._answers.sample
        inputs = _sample(prepared.described)
        outputs = prepared.asked if more is None else ()
        response = await self.predictor.predict(self._request(inputs, call, outputs))
        spec = prepared.described.inputs[0]
        image = spec.content == "image"
        values = response.outputs[prepared.described.primary_output]
        sample = inputs[spec.name]
        return Answer(encode({
            "data_type": "str" if spec.datatype == "BYTES" else DTYPES[spec.datatype].name,
            "data_structure": "(1,1)" if image else structure(sample),
            "data_sample": "base64 encoded image file" if image else _shown(spec, sample),
            "prediction_type": "str" if values.dtype.kind == "O" else values.dtype.name,
            "prediction_structure": structure(values),
            "prediction_sample": one_or_all(values),
            **({} if more is None else more(response, call.context)),
        }))  # fmt: skip

    # ---- the parts of an answer ----

    async def _posted(self, usual: Usual, own: Shape | None, call: Call) -> Answer:
        prepared = self._prepared(call.context)
        body = await self.buffers.read(call)
        began = monotonic()
        if len(body) <= OFFLOAD_BYTES:
            inputs = prepared.read(body)
        else:
            inputs = await self.runtime.offload_codec(partial(prepared.read, body))
        return await self._answer(inputs, call, prepared, usual, own, began)

    async def _tested(self, usual: Usual, own: Shape | None, call: Call) -> Answer:
        call.context.purpose = "test"
        prepared = self._prepared(call.context)
        return await self._answer(_sample(prepared.described), call, prepared, usual, own, monotonic())

    async def _answer(
        self, inputs: Mapping[str, Array], call: Call, prepared: Prepared, usual: Usual, own: Shape | None, began: float
    ) -> Answer:
        asked = monotonic()
        try:
            outputs = prepared.asked if own is None else ()  # a function of the pattern's gets all
            response = await self.predictor.predict(self._request(inputs, call, outputs))
            answered = monotonic()
            if response.status == "accepted":
                answer = self._accepted(response, call)
            else:
                described, size = response.described or prepared.described, 0
                for value in response.outputs.values():
                    size += value.size * 8
                shape, offload = partial(usual, response, described), self.runtime.offload_codec
                also = self._answers.also
                if own is not None or also is not None:  # user code, and so in the threads for that
                    whole, offload = replace(response, described=described), self.runtime.offload
                    shape = shape if own is None else partial(own, whole, call.context)
                    shape = shape if also is None else partial(_with, shape, partial(also, whole, call.context))
                body = encode(shape()) if size <= OFFLOAD_BYTES else await offload(lambda: encode(shape()))
                answer = Answer(body, provenance(response, call.context))
        except BaseException:
            if call.context.purpose == "request":
                self._statistics.failed(monotonic() - asked)
            raise
        if call.context.purpose == "request":
            self._statistics.answered(batch_size(inputs), began, asked, answered, monotonic())
        return answer

    def _accepted(self, response: InferenceResponse, call: Call) -> Answer:
        """202: a job will have the answer, and `Location` says where that is told."""
        if JOB_ID not in response.outputs:
            raise InternalError("the model accepted the request, but gave no job_id")
        job = one_or_all(response.outputs[JOB_ID])
        headers = provenance(response, call.context)
        if self.job_path and isinstance(job, str):  # of several jobs there is no one place
            place = quote(call.scope.get("root_path", "") + self.job_path) + quote(job, safe="")
            headers = (*headers, (b"location", place.encode()))
        return Answer(encode({JOB_ID: job}), headers, 202)

    def _request(self, inputs: Mapping[str, Array], call: Call, outputs: tuple[str, ...]) -> InferenceRequest:
        call.context.where = self.predictor.path
        return InferenceRequest(inputs, call.context, outputs=outputs, deadline=call.deadline)

    def _prepared(self, context: Context) -> Prepared:
        """For what this caller's requests meet; made anew only when that is not what the last one's met."""
        described = self.predictor.describe(context)
        last = self._last
        if last is not None and last.described is described:
            return last
        if len(described.inputs) != 1:
            names = ", ".join(spec.name for spec in described.inputs)
            raise InvalidInput(
                f"this model takes {len(described.inputs)} inputs ({names}), and the simple API sends one: "
                f"use the Open Inference Protocol, POST /v2/models/{self.predictor.name}/infer"
            )
        spec = described.inputs[0]
        self._last = Prepared(described, spec.name, (described.primary_output,), decoder_for(spec, self._max_elements))
        return self._last


def _with(shape: Callable[[], Any], also: Callable[[], Mapping[str, Any]]) -> Any:
    return {**shape(), **also()}


def _sample(described: ModelMetadata) -> Mapping[str, Array]:
    if described.sample is None:
        raise NotFound("this model has no sample")
    return {name: read_only(value) for name, value in described.sample.items()}


def _shown(spec: TensorSpec, sample: Array) -> Any:
    """A sample as JSON: of keys the one that it is, as it may be sent."""
    return listed(sample.reshape(-1))[0] if spec.content == "key" and sample.size == 1 else listed(sample)


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
