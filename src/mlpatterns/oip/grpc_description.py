"""The metadata of a model over gRPC.

The protocol's message has no parameters. So we add a field `rest` with the complete body that REST sends, which has the
further metadata of mlpatterns. Other clients ignore this field.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mlpatterns.metadata import ModelMetadata
from mlpatterns.oip import description
from mlpatterns.oip.grpc_messages import ModelMetadataResponse

__all__ = ["decode_metadata", "encode_metadata"]


def encode_metadata(metadata: ModelMetadata, identity: str | None = None) -> Any:
    """Makes a ModelMetadataResponse."""
    message = ModelMetadataResponse(name=metadata.name, versions=[metadata.version], platform=metadata.platform)
    for tensors, specs in ((message.inputs, metadata.inputs), (message.outputs, metadata.outputs)):
        for spec in specs:
            tensors.add(name=spec.name, datatype=spec.datatype, shape=spec.shape)
    message.rest = description.encode_metadata(metadata, identity)
    return message


def decode_metadata(message: Any) -> tuple[ModelMetadata, str | None]:
    """The metadata and the identity of a model, from the ModelMetadataResponse of any server.

    Raises:
        InternalError: the message is malformed, or the model has no outputs.
    """
    if message.rest:
        return description.decode_metadata(message.rest)
    body = {
        "name": message.name,
        "versions": list(message.versions),
        "platform": message.platform,
        "inputs": [_tensor(tensor) for tensor in message.inputs],
        "outputs": [_tensor(tensor) for tensor in message.outputs],
    }
    return description.decode_metadata(msgspec.json.encode(body))


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
