"""The simple API of the book: one row gives one flat list, and several rows give a list of lists.

POST /predict          {"data": [[5.1, 3.5, 1.4, 0.2]]}  ->  {"prediction": [0.97, 0.02, 0.01]}
POST /predict/label    the same                          ->  {"prediction": "setosa"}
GET  /predict/test, /predict/test/label, /metadata, /label

A model with several inputs takes rows by name, columns by name, or rows by position: see `server.rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from time import monotonic
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.context import Context
from mlpatterns.errors import InternalError, InvalidInput, NotFound
from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.answers import Answers, label, prediction
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.exchange import JSON, Answer, Call, Handler, encode
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.rows import Read, data_of, reader_for, shown_inputs
from mlpatterns.tensors import LISTED_LABELS, batch_size, one_or_all, read_only, structure
from mlpatterns.user_errors import CompositionError

__all__ = ["JOB", "JOB_ID", "OFFLOAD_BYTES", "SimpleApi", "provenance"]

OFFLOAD_BYTES = 64 * 1024  # a thread decodes and encodes larger bodies
SHOWN_AT_ONCE = 8192  # a sample with at most this many elements is converted on the event loop
JOB_ID, JOB = "job_id", "job/{id}"  # the output of an accepted request, and the operation that describes its job

Usual = Callable[[InferenceResponse, ModelMetadata], Any]
Shape = Callable[[InferenceResponse, Context], Any]


class Decoder(Struct, frozen=True):
    """Decodes the requests for one model. `outputs` are the names of the outputs to request from the model."""

    metadata: ModelMetadata
    outputs: tuple[str, ...]
    decode: Read

    def read(self, body: bytes) -> Mapping[str, Array]:
        """The inputs in `body`, as read-only arrays. Raises InvalidInput or TooLarge if they do not fit the model."""
        inputs, most = self.decode(body), self.metadata.max_batch_size
        if most is not None and (count := batch_size(inputs)) > most:
            raise InvalidInput(f"data holds {count} rows, but the model takes at most {most} in one request")
        for array in inputs.values():
            array.setflags(write=False)
        return inputs


class SimpleApi:
    """The routes of one predictor.

    Args:
        answers: the answers that differ from the usual `{"prediction": …}`, and additional paths.

    Attributes:
        job_path: the path of the model's operation `job/{id}` up to the id; empty if it has none. The app sets it when
            it adds the operations.
    """

    def __init__(self, predictor: Hosted, runtime: AppRuntime, buffers: Buffers, answers: Answers) -> None:
        self.predictor, self.runtime, self.buffers, self._answers = predictor, runtime, buffers, answers
        self._settings, self._statistics = runtime.settings, predictor.statistics
        self._last: Decoder | None = None
        self.job_path = ""

    def routes(self) -> dict[str, tuple[str, Handler]]:
        """Path -> (method, handler).

        Raises:
            CompositionError: an alias is a path that exists already, or leads to a path that does not exist.
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
        decoder, more = self._decoder(call.context), self._answers.sample
        inputs = _sample(decoder.metadata)
        outputs = decoder.outputs if more is None else ()
        response = await self.predictor.predict(self._request(inputs, call, outputs))
        values = response.outputs[decoder.metadata.primary_output]
        return Answer(encode({
            **await self._inputs_metadata(shown_inputs(decoder.metadata.inputs, inputs), inputs),
            "prediction_type": "str" if values.dtype.kind == "O" else values.dtype.name,
            "prediction_structure": structure(values),
            "prediction_sample": one_or_all(values),
            **({} if more is None else more(response, call.context)),
        }))  # fmt: skip

    async def _inputs_metadata(self, specs: Sequence[TensorSpec], sample: Mapping[str, Array]) -> dict[str, Any]:
        """The fields of `/metadata` for the inputs. With several inputs, types and shapes are objects by input name."""
        types = {spec.name: "str" if spec.datatype == "BYTES" else DTYPES[spec.datatype].name for spec in specs}
        shapes = {name: structure(value) for name, value in sample.items()}
        if len(specs) == 1 and specs[0].content == "image":
            return {"data_type": "str", "data_structure": "(1,1)", "data_sample": "base64 encoded image file"}
        shown = partial(data_of, specs, sample)
        small = sum(value.size for value in sample.values()) <= SHOWN_AT_ONCE
        data = shown() if small else await self.runtime.offload_codec(shown)
        name = specs[0].name if len(specs) == 1 else None
        return {
            "data_type": types[name] if name else types,
            "data_structure": shapes[name] if name else shapes,
            "data_sample": data,
        }

    # ---- the parts of an answer ----

    async def _posted(self, usual: Usual, own: Shape | None, call: Call) -> Answer:
        decoder = self._decoder(call.context)
        body = await self.buffers.read(call)
        began = monotonic()
        if len(body) <= OFFLOAD_BYTES:
            inputs = decoder.read(body)
        else:
            inputs = await self.runtime.offload_codec(partial(decoder.read, body))
        return await self._answer(inputs, call, decoder, usual, own, began)

    async def _tested(self, usual: Usual, own: Shape | None, call: Call) -> Answer:
        call.context.purpose = "test"
        decoder = self._decoder(call.context)
        return await self._answer(_sample(decoder.metadata), call, decoder, usual, own, monotonic())

    async def _answer(
        self, inputs: Mapping[str, Array], call: Call, decoder: Decoder, usual: Usual, own: Shape | None, began: float
    ) -> Answer:
        asked = monotonic()
        try:
            outputs = decoder.outputs if own is None else ()  # the pattern's function gets all outputs
            response = await self.predictor.predict(self._request(inputs, call, outputs))
            answered = monotonic()
            if response.status == "accepted":
                answer = self._accepted(response, call)
            else:
                described, size = response.described or decoder.metadata, 0
                for value in response.outputs.values():
                    size += value.size * 8
                shape, offload = partial(usual, response, described), self.runtime.offload_codec
                also = self._answers.also
                if own is not None or also is not None:  # user code runs in the threads for user code
                    whole, offload = replace(response, described=described), self.runtime.offload
                    shape = shape if own is None else partial(own, whole, call.context)
                    shape = shape if also is None else partial(_merged, shape, partial(also, whole, call.context))
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
        """The answer 202 with the id of the job that will have the result. `Location` is the path of that job.

        Raises:
            InternalError: the model gave no job id.
        """
        if JOB_ID not in response.outputs:
            raise InternalError("the model accepted the request, but gave no job_id")
        job = one_or_all(response.outputs[JOB_ID])
        headers = provenance(response, call.context)
        if self.job_path and isinstance(job, str):  # a list of several jobs has no single location
            place = quote(call.scope.get("root_path", "") + self.job_path) + quote(job, safe="")
            headers = (*headers, (b"location", place.encode()))
        return Answer(encode({JOB_ID: job}), headers, 202)

    def _request(self, inputs: Mapping[str, Array], call: Call, outputs: tuple[str, ...]) -> InferenceRequest:
        call.context.where = self.predictor.path
        return InferenceRequest(inputs, call.context, outputs=outputs, deadline=call.deadline)

    def _decoder(self, context: Context) -> Decoder:
        """The decoder for the model that answers this caller. It is kept as long as requests get the same metadata."""
        described = self.predictor.describe(context)
        last = self._last
        if last is not None and last.metadata is described:
            return last
        ignored = self._settings.extra_columns == "ignore"
        read = reader_for(described.inputs, self._settings.max_elements, ignore_extra=ignored)
        self._last = Decoder(described, (described.primary_output,), read)
        return self._last


def _merged(shape: Callable[[], Any], also: Callable[[], Mapping[str, Any]]) -> Any:
    return {**shape(), **also()}


def _sample(described: ModelMetadata) -> Mapping[str, Array]:
    if described.sample is None:
        raise NotFound("this model has no sample")
    return {name: read_only(value) for name, value in described.sample.items()}


def provenance(response: InferenceResponse, context: Context) -> tuple[tuple[bytes, bytes], ...]:
    """The content type, and the headers about the source of the answer: the model's version, the last public note of
    each key, and whether the answer is degraded. Requests cannot set them."""
    version = _header("x-mlp-version", response.model_version)
    if not context.notes and not response.degraded:
        return (JSON, version)
    public = {note.key: str(note.value) for note in context.notes if note.public}
    notes = [_header(f"x-mlp-{key}", value) for key, value in public.items()]
    if response.degraded:
        notes.append((b"x-mlp-degraded", b"true"))
    return (JSON, version, *notes)


@lru_cache(maxsize=256)  # every answer has these headers, and they have few different values
def _header(name: str, value: str) -> tuple[bytes, bytes]:
    """A header whose value may come from a remote model. Characters that are not printable ASCII become `?`, and only
    the first 256 characters are sent."""
    return name.encode(), "".join(c if c.isascii() and c.isprintable() else "?" for c in value[:256]).encode()
