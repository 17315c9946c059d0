"""Converts strings for ONNX Runtime, which uses `str` where the Open Inference Protocol uses `bytes`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from mlpatterns.errors import InvalidInput
from mlpatterns.metadata import Array

__all__ = ["decoded", "encoded"]


def decoded(inputs: Mapping[str, Array], names: Iterable[str]) -> Mapping[str, Array]:
    """`inputs` with the strings of the inputs in `names` as `str`.

    Raises:
        InvalidInput: an input contains bytes that are not UTF-8.
    """
    given = dict(inputs)
    for name in names:
        if name in given:
            given[name] = _texts(name, given[name])
    return given


def encoded(value: Array) -> Array:
    """An output with its strings as `bytes`; other outputs are unchanged."""
    if value.dtype.kind not in "OU":
        return value
    texts = [text.encode() if isinstance(text, str) else text for text in value.flat]
    return np.array(texts, dtype=object).reshape(value.shape)


def _texts(name: str, value: Array) -> Array:
    try:
        texts = [text.decode() if isinstance(text, bytes) else text for text in value.flat]
    except UnicodeDecodeError:
        raise InvalidInput(f"{name!r} holds bytes that are not UTF-8 text") from None
    return np.array(texts, dtype=object).reshape(value.shape)
