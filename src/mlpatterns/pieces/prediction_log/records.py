"""Makes the record of a prediction that has ended, and decides which tensors it keeps, and in which form."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from mlpatterns.context import Note
from mlpatterns.errors import NotStarted
from mlpatterns.metadata import Array, ModelMetadata, datatype_of
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.stores.log import Record, Role, Status
from mlpatterns.stores.log_codec import EncodedRecords, Line, encode_record
from mlpatterns.user_errors import CompositionError, UserError

__all__ = ["EndedPrediction", "RecordOptions", "Records", "arm_of", "shown"]

log = logging.getLogger("mlpatterns")

EXPOSURES = ("arm", "exposure")  # the keys of the notes that an experiment counts


class EndedPrediction(Struct, frozen=True, gc=False):
    """A prediction that has ended and whose record is made later.

    Attributes:
        tensors: whether the record keeps the tensors.
    """

    request: InferenceRequest
    response: InferenceResponse | None
    at: float
    seconds: float
    notes: tuple[Note, ...]
    status: Status
    code: str = ""
    error: str = ""
    tensors: bool = True


class _Plan(Struct, frozen=True):
    """How tensors are treated: which are images, and which are redacted, entirely or by columns."""

    described: ModelMetadata | None
    images: Collection[str]
    whole: Collection[str]
    columns: Mapping[str, Collection[int]]
    sure: bool = True  # whether every name to redact was found; if not, no tensor is kept


class RecordOptions:
    """Makes records with the given options.

    Args:
        path: the path of the piece that logs.
        describe: returns the metadata of the model, or raises NotStarted.
        redact: names of inputs, outputs and columns of inputs that are never kept.
        max_elements: for a tensor with more elements, or more bytes of text, only size and digest are kept.
    """

    def __init__(
        self,
        path: str,
        describe: Callable[[], ModelMetadata],
        *,
        redact: Collection[str] = (),
        max_elements: int = 10_000,
        role: Role = "primary",
    ) -> None:
        self.path, self.redact, self.max_elements, self.role = path, frozenset(redact), max_elements, role
        self._describe = describe
        self._plan, self._known = _Plan(None, (), (), {}, not self.redact), False

    def check(self) -> None:
        """Checks the names to redact.

        Raises:
            CompositionError: the metadata of the model is known, and a name is not one of its tensors or columns.
        """
        try:
            described = self._describe()
        except NotStarted:
            return
        unknown = sorted(self.redact - _names(described))
        if unknown:
            known = ", ".join(sorted(_names(described)))
            raise CompositionError(
                f"there is nothing called {unknown[0]!r} to redact in the log; the names are {known}"
            )

    def record(self, ended: EndedPrediction) -> Record:
        """The record of one prediction."""
        request, response = ended.request, ended.response
        context = request.context
        inputs = outputs = None
        if ended.tensors:
            plan = self._planned()
            inputs = self._kept(request.inputs, plan)
            outputs = None if response is None else self._kept(response.outputs, plan)
        model, version, identity, degraded = "", "", None, False
        if response is not None:
            model, version, identity = response.model_name, response.model_version, response.identity
            degraded = response.degraded
        return Record(
            context.prediction_id, ended.at, self.path, ended.status, ended.seconds, model, version, identity,
            self.role, context.purpose, context.caller_id, context.principal, degraded, ended.code, ended.error,
            inputs, outputs, ended.notes,
        )  # fmt: skip

    def line(self, ended: EndedPrediction) -> Line:
        """The record of one prediction as a line."""
        return ended.request.context.prediction_id, ended.at, self.path, encode_record(self.record(ended))

    def look_again(self) -> None:
        """Reads the metadata again at the next record."""
        self._known = False

    def _planned(self) -> _Plan:
        """The plan, which is made again only if the metadata has changed."""
        if self._known:
            return self._plan
        try:
            described = self._describe()
        except NotStarted:
            return self._plan
        if self._plan.described is not described:
            self._plan = self._made(described)
        self._known = True
        return self._plan

    def _made(self, described: ModelMetadata) -> _Plan:
        unknown = self.redact - _names(described)
        if unknown:
            log.error(
                "%r logs no tensors: there is nothing called %r, which is to be redacted", self.path, min(unknown)
            )
        tensors = (*described.inputs, *described.outputs)
        columns = {
            spec.name: [index for index, field in enumerate(spec.fields) if field in self.redact] for spec in tensors
        }
        return _Plan(
            described,
            {spec.name for spec in tensors if spec.content == "image"},
            {spec.name for spec in tensors if spec.name in self.redact},
            {name: found for name, found in columns.items() if found},
            not unknown,
        )

    def _kept(self, tensors: Mapping[str, Array], plan: _Plan) -> dict[str, Any] | None:
        if not plan.sure:
            return None
        most = self.max_elements
        if not (plan.whole or plan.columns or plan.images):
            return {
                name: value.tolist() if value.size <= most and not value.dtype.hasobject else shown(value, most)
                for name, value in tensors.items()
            }
        kept: dict[str, Any] = {}
        for name, value in tensors.items():
            if name in plan.whole:
                kept[name] = None
            elif name in plan.columns:
                kept[name] = _without(value, plan.columns[name], most)
            else:
                kept[name] = shown(value, most if name not in plan.images else 0)
        return kept


class Records(EncodedRecords):
    """The content of a queue: lines, and predictions that are encoded as lines when they are read."""

    def __init__(self, waited: Sequence[Line | EndedPrediction], line: Callable[[EndedPrediction], Line]) -> None:
        self._waited, self._line = waited, line

    def __len__(self) -> int:
        return len(self._waited)

    def lines(self) -> Iterator[Line]:
        return (self._line(each) if isinstance(each, EndedPrediction) else each for each in self._waited)


def arm_of(notes: Sequence[Note]) -> str | None:
    """The arm from the first note in `EXPOSURES`: an empty text for a note ``exposure``, None without such a note."""
    for note in notes:
        if note.key in EXPOSURES:
            return str(note.value)[:64] if note.key == "arm" else ""
    return None


def shown(value: Array, most: int) -> Any:
    """A tensor as nested lists, with bytes as text; a large tensor as its size and the SHA-256 of its elements.

    Args:
        most: the maximum number of elements, or of bytes of text, that are kept; 0 for an image.
    """
    if value.dtype.kind != "O":
        return value.tolist() if value.size <= most else _digest(value, [value.tobytes()])
    items = [item if isinstance(item, bytes) else str(item).encode(errors="replace") for item in value.flat]
    if sum(map(len, items)) <= most:
        try:
            texts = [item.decode() for item in items]
        except UnicodeDecodeError:  # the bytes are not text
            return _digest(value, items)
        return np.array([*texts, None], dtype=object)[:-1].reshape(value.shape).tolist()
    return _digest(value, items)


def _digest(value: Array, parts: Sequence[bytes]) -> dict[str, Any]:
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    try:
        datatype = datatype_of(value.dtype)
    except UserError:
        datatype = str(value.dtype)
    size = sum(map(len, parts))
    return {"datatype": datatype, "shape": list(value.shape), "bytes": size, "sha256": state.hexdigest()}


def _without(value: Array, columns: Collection[int], most: int) -> Any:
    """The tensor with null in the redacted columns. Nothing is kept of a tensor that is too large, because the values
    can be guessed from a digest.
    """
    if value.size > most or not value.ndim:
        return None
    shape = value.shape
    rows = np.array(value, dtype=object).reshape(-1, shape[-1])
    for column in columns:
        rows[:, column] = None
    texts = [item.decode(errors="replace") if isinstance(item, bytes) else item for item in rows.flat]
    return np.array([*texts, None], dtype=object)[:-1].reshape(shape).tolist()


def _names(described: ModelMetadata) -> frozenset[str]:
    tensors = (*described.inputs, *described.outputs)
    return frozenset([*(spec.name for spec in tensors), *(field for spec in tensors for field in spec.fields)])
