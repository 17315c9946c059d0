"""Limits on the size of requests. All are on by default, and each has its own error text."""

from __future__ import annotations

from msgspec import Struct

from mlpatterns.metadata import ModelMetadata

__all__ = ["RequestLimits"]


class RequestLimits(Struct, frozen=True, kw_only=True):
    """Limits on one request.

    Attributes:
        max_body_bytes: bytes of a body, before and after decompression.
        max_expansion: how many times the size of a compressed body the decompressed one may have.
        max_rank: axes of one tensor.
        max_elements: elements of one tensor.
        max_inputs: tensors of a request. A request to a model with more inputs, e.g. a wide table, may have them all.
        max_outputs: outputs that a request names. A request to a model with more outputs may name all of them.
        max_nesting: levels of nested lists and objects in a JSON body.
    """

    max_body_bytes: int = 64 * 1024 * 1024
    max_expansion: int = 100
    max_rank: int = 8
    max_elements: int = 16 * 1024 * 1024
    max_inputs: int = 64
    max_outputs: int = 64
    max_nesting: int = 32

    def inputs_of(self, metadata: ModelMetadata) -> int:
        """How many inputs a request to this model may have."""
        return max(self.max_inputs, len(metadata.inputs))

    def outputs_of(self, metadata: ModelMetadata) -> int:
        """How many outputs a request to this model may name."""
        return max(self.max_outputs, len(metadata.outputs))
