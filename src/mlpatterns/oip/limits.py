"""How large what comes in may be. Every limit is on by default and answers with a sentence of its own."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Limits"]


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds on one request.

    Attributes:
        max_body_bytes: bytes of a body, also after decompression.
        max_expansion: how many times its own size a compressed body may become.
        max_rank: axes of one tensor.
        max_elements: elements of one tensor.
        max_inputs: tensors in a request.
        max_outputs: outputs that a request may name.
        max_nesting: lists and objects within each other in a JSON body.
    """

    max_body_bytes: int = 64 * 1024 * 1024
    max_expansion: int = 100
    max_rank: int = 8
    max_elements: int = 16 * 1024 * 1024
    max_inputs: int = 64
    max_outputs: int = 64
    max_nesting: int = 32
