"""The metadata of a model over the Open Inference Protocol: servers write it, and clients read it.

The protocol has name, versions, platform, inputs and outputs. `parameters`, which other clients ignore, has the further
metadata of mlpatterns: `identity`, `primary_output`, `labels`, `max_batch_size` and `threshold` of the model, and
`content`, `fields`, `missing`, `missing_fields` and `optional` of a tensor.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from mlpatterns.errors import InternalError, InvalidInput
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.oip.wire import parse
from mlpatterns.user_errors import InvalidSpec

__all__ = ["decode_metadata", "encode_metadata"]

P = TypeVar("P")


class _TensorParameters(Struct, omit_defaults=True):
    content: Literal["tensor", "image", "key", "text"] = "tensor"
    fields: tuple[str, ...] = ()
    missing: bool = False
    missing_fields: tuple[str, ...] = ()
    optional: bool = False


class _Tensor(Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: Any = None


class _ModelParameters(Struct, omit_defaults=True):
    identity: str | None = None
    primary_output: str | None = None
    labels: tuple[str, ...] = ()
    max_batch_size: Annotated[int, Meta(ge=1)] | None = None
    threshold: float | None = None


class _Model(Struct):
    name: str
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]
    versions: tuple[str, ...] | None = None
    platform: str | None = None
    parameters: Any = None


_decoder = msgspec.json.Decoder(_Model)


def encode_metadata(metadata: ModelMetadata, identity: str | None = None) -> bytes:
    """The body of `GET /v2/models/M`."""
    parameters = _ModelParameters(
        identity, metadata.primary_output, metadata.labels, metadata.max_batch_size, metadata.threshold
    )
    body: dict[str, Any] = {
        "name": metadata.name,
        "versions": [metadata.version],
        "platform": metadata.platform,
        "inputs": [_from_spec(spec) for spec in metadata.inputs],
        "outputs": [_from_spec(spec) for spec in metadata.outputs],
        "parameters": parameters,
    }
    return msgspec.json.encode(body)


def decode_metadata(body: bytes) -> tuple[ModelMetadata, str | None]:
    """The metadata and the identity of a model, from the body of `GET /v2/models/M`.

    If the body has several versions, the last one is taken. If it names no primary output, the first output is taken.

    Raises:
        InternalError: the body is malformed, or the model has no outputs.
    """
    try:
        model = parse(_decoder, body, "it", RequestLimits().max_nesting)
        outputs = tuple(_to_spec(tensor) for tensor in model.outputs)
        inputs = tuple(_to_spec(tensor) for tensor in model.inputs)
    except (InvalidInput, InvalidSpec) as error:
        raise InternalError(f"the metadata of the remote model is malformed: {error}") from None
    parameters = _own(_ModelParameters, model.parameters)
    names = [spec.name for spec in outputs]
    if not names:
        raise InternalError("the metadata of the remote model is malformed: it has no outputs")
    primary = parameters.primary_output if parameters.primary_output in names else names[0]
    version = model.versions[-1] if model.versions else ""
    metadata = ModelMetadata(
        model.name, version, model.platform or "", inputs, outputs, primary, parameters.labels,
        max_batch_size=parameters.max_batch_size, threshold=parameters.threshold,
    )  # fmt: skip
    return metadata, parameters.identity


def _own(kind: type[P], parameters: Any) -> P:
    """Converts `parameters` to `kind`. If they do not fit it, it returns the defaults, because another server may use
    the same names for other things."""
    try:
        return msgspec.convert(parameters or {}, kind)
    except msgspec.ValidationError:
        return kind()


def _from_spec(spec: TensorSpec) -> _Tensor:
    parameters = _TensorParameters(spec.content, spec.fields, spec.missing, spec.missing_fields, spec.optional)
    return _Tensor(spec.name, spec.datatype, spec.shape, parameters if parameters != _TensorParameters() else None)


def _to_spec(tensor: _Tensor) -> TensorSpec:
    own = _own(_TensorParameters, tensor.parameters)
    return TensorSpec(
        tensor.name, tensor.datatype, tensor.shape, own.content, own.fields, own.missing, own.missing_fields,
        own.optional,
    )  # fmt: skip
