"""The routes of one model as OpenAPI operations: the simple API and OIP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from mlpatterns.metadata import DTYPES, ModelMetadata, TensorSpec
from mlpatterns.server.answers import Answers
from mlpatterns.server.pages import openapi_schemas as schemas
from mlpatterns.server.pages.openapi_parts import (
    EVERYWHERE,
    PREDICTING,
    PROVENANCE,
    OpenapiOperation,
    accepted_response,
    component,
    first_words,
    identifier,
    ok_response,
    operation_of,
)
from mlpatterns.server.pages.openapi_rows import row_examples, rows
from mlpatterns.server.pages.openapi_schemas import Schema
from mlpatterns.server.simple_api import JOB_ID
from mlpatterns.tensors import is_label

__all__ = ["VERSIONS", "Subject", "model_entries", "protocol_entry"]

VERSION = "{version}"
VERSIONS = ("", f"/versions/{VERSION}")  # suffixes of a model's path: for the version that serves now, or a named one


class Subject(Struct, frozen=True):
    """A model for the document.

    Attributes:
        key: letters, digits and underscores that no other model has.
        described: the model's metadata; None while it is not ready.
        answers: the answers of the simple API that differ from the usual ones, and its other paths.
        ignore_extra: whether columns that the model does not have are dropped instead of refused.
    """

    key: str
    name: str
    prefix: str
    described: ModelMetadata | None
    answers: Answers = Answers()
    ignore_extra: bool = False

    def reference(self, schema: str) -> Schema:
        """A reference to one of the model's schemas in the components. While the model is not ready, a schema that
        accepts anything."""
        return {"$ref": f"#/components/schemas/{self.key}.{schema}"} if self.described else {}

    def schemas(self) -> dict[str, Schema]:
        """All schemas to which `reference` may refer, by their names in the components."""
        described = self.described
        if described is None:
            return {}
        primary = [spec for spec in described.outputs if spec.name == described.primary_output]
        found = {
            "Rows": rows(described.inputs, described.max_batch_size, ignore_extra=self.ignore_extra),
            "Prediction": schemas.prediction(primary[0]) if primary and not self.answers.predict else {},
            "Label": self._label(described),
            "Labels": schemas.labels(described) if described.labels else {},
            "InferRequest": schemas.infer_request(described),
            "InferResponse": schemas.infer_response(described),
        }
        return {f"{self.key}.{name}": schema for name, schema in found.items()}

    def _label(self, described: ModelMetadata) -> Schema:
        itself = _label_itself(described)
        usual = (described.labels or itself) and not self.answers.label
        return schemas.label_prediction(described.labels, itself) if usual else {}


# ---- one model ----------------------------------------------------------------------------------------------------


def model_entries(subject: Subject) -> Iterator[OpenapiOperation]:
    """The simple API and the OIP routes of one model."""
    simple = list(_simple(subject))
    yield from simple
    for path, other in subject.answers.aliases.items():
        yield from (_alias(subject, path, entry) for entry in simple if entry.served == subject.prefix + other)
    yield from _protocol(subject)


def _alias(subject: Subject, path: str, entry: OpenapiOperation) -> OpenapiOperation:
    said = f"The same as {entry.method} {entry.served}. {entry.operation['description']}"
    return _entry(subject, entry.method, path, {**entry.operation, "description": said})


def _simple(subject: Subject) -> Iterator[OpenapiOperation]:
    kinds = ("Predict", "the prediction of each row"), ("Label", "the label of each row")
    described = subject.described
    later = described is not None and [spec.name for spec in described.outputs] == [JOB_ID]
    tests: list[OpenapiOperation] = []  # listed after the operations that take rows
    for (schema, what), suffix in zip(kinds, ("/predict", "/predict/label"), strict=True):
        answer = "Prediction" if schema == "Predict" else schema
        own = subject.answers.predict if schema == "Predict" else subject.answers.label
        note = _refusal(subject, labelled=schema == "Label" and own is None and not later)
        said = "Starts a job, which will compute the answer." if later else first_words(own)
        also = "" if later or note else first_words(subject.answers.also)
        done_or_accepted = accepted_response() if later else ok_response(subject.reference(answer), PROVENANCE)
        status = 202 if later else 200
        posted = operation_of(
            subject.name, f"{schema} rows",
            f"{note or said or f'Returns {what}: one value for one row, a list for several.'} {also}".rstrip(),
            done_or_accepted, (*PREDICTING, 408), status)  # fmt: skip
        posted["requestBody"] = _rows_body(subject, refused=bool(note))
        yield _entry(subject, "POST", suffix, posted)
        test = suffix.replace("/predict", "/predict/test")
        tests.append(_entry(subject, "GET", test, operation_of(
            subject.name, f"{schema} the sample", note or f"Like POST {suffix}, with the model's own sample.",
            done_or_accepted, PREDICTING, status)))  # fmt: skip
    yield from tests
    shaped = subject.answers.metadata or subject.answers.sample
    yield _entry(subject, "GET", "/metadata", operation_of(
        subject.name, "Inputs and outputs",
        first_words(shaped) or _refusal(subject, labelled=False)
        or "Types and shapes, with a sample and its prediction.",
        ok_response({} if shaped else component("Metadata")), PREDICTING))  # fmt: skip
    labelled = described is None or bool(described.labels)
    yield _entry(subject, "GET", "/label", operation_of(
        subject.name, "The labels",
        "By their number in the prediction." if labelled else "This model has no labels: 404.",
        ok_response(subject.reference("Labels")), (*EVERYWHERE, 404)))  # fmt: skip


def _refusal(subject: Subject, *, labelled: bool) -> str:
    """The reason why the simple API cannot serve this model; empty if it can."""
    described = subject.described
    if described is None:
        return "The model is not ready yet, so its inputs and outputs are unknown."
    if labelled and not described.labels and _label_itself(described) is None:
        return "Refused with 404: this model has no labels."
    return ""


def _label_itself(described: ModelMetadata) -> TensorSpec | None:
    """The primary output if it contains the labels themselves, not scores or indices of labels; else None."""
    for spec in described.outputs:
        if spec.name == described.primary_output and is_label(DTYPES[spec.datatype].kind, spec.shape):
            own = not described.labels and described.threshold is None
            return spec if spec.datatype == "BYTES" or own else None
    return None


def _rows_body(subject: Subject, *, refused: bool) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": subject.reference("Rows")}
    described = subject.described
    if described is not None and not refused:
        found = row_examples(described)
        if found:
            media["examples"] = {name.replace(" ", "-"): {"summary": name, "value": v} for name, v in found.items()}
    return {"required": True, "content": {"application/json": media}}


def _protocol(subject: Subject) -> Iterator[OpenapiOperation]:
    ready = schemas.object_of(name={"const": subject.name}, ready={"type": "boolean"})
    for version in VERSIONS:
        suffixes = {"": "Metadata (OIP)", "/ready": "Ready or not (OIP)", "/infer": "Infer (OIP)"}
        for suffix, title in suffixes.items():
            if suffix == "/infer":
                operation = _infer(subject, title)
            else:
                schema = ready if suffix else component("ModelMetadata")
                operation = operation_of(subject.name, title, "Open Inference Protocol.", ok_response(schema),
                                       (*EVERYWHERE, 404))  # fmt: skip
            yield protocol_entry(subject, "POST" if suffix == "/infer" else "GET", version + suffix, operation)


def protocol_entry(subject: Subject, method: str, suffix: str, operation: dict[str, Any]) -> OpenapiOperation:
    """An operation at the model's path below `/v2`, followed by `suffix`."""
    known = subject.described.version if subject.described else "1"
    if VERSION in suffix:
        parameter = {
            "name": "version", "in": "path", "required": True, "schema": {"type": "string"}, "example": known,
        }  # fmt: skip
        operation["parameters"] = [parameter, *operation["parameters"]]
    operation["operationId"] = identifier(subject.key, "v2" + suffix.replace(VERSION, "version"), method)
    path = f"/v2/models/{quote(subject.name)}{suffix}"
    return OpenapiOperation(method, path, f"/v2/models/{subject.name}{suffix.replace(VERSION, known)}", operation)


def _infer(subject: Subject, title: str) -> dict[str, Any]:
    text = "Open Inference Protocol, with its binary tensor extension: the JSON, then the raw tensors."
    binary = {"schema": {"type": "string", "format": "binary"}}
    length = {
        "name": "Inference-Header-Content-Length", "in": "header",
        "description": "The length of the JSON in front of binary tensors.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    }  # fmt: skip
    media: dict[str, Any] = {"schema": subject.reference("InferRequest")}
    example = schemas.infer_example(subject.described) if subject.described else None
    if example:
        media["example"] = example
    answer = ok_response(subject.reference("InferResponse"), PROVENANCE)
    answer["content"]["application/octet-stream"] = binary
    operation = operation_of(subject.name, title, text, answer, (*PREDICTING, 408))
    operation["parameters"] = [*operation["parameters"], length]
    content = {"application/json": media, "application/octet-stream": binary}
    operation["requestBody"] = {"required": True, "content": content}
    return operation


def _entry(subject: Subject, method: str, suffix: str, operation: dict[str, Any]) -> OpenapiOperation:
    operation["operationId"] = identifier(subject.key, suffix, method)
    return OpenapiOperation(method, quote(subject.prefix) + suffix, subject.prefix + suffix, operation)
