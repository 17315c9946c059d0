"""Decodes the JSON rows of the simple API to arrays. Each kind of wrong input has an error text of one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from mlpatterns.metadata import Array, TensorSpec
from mlpatterns.server.rows.column import InputColumn
from mlpatterns.server.rows.floats import FloatRows
from mlpatterns.server.rows.named import Named, named_of
from mlpatterns.server.rows.nested import NestedRows
from mlpatterns.server.rows.several import NamedOrNot, SeveralInputs
from mlpatterns.server.rows.shown import data_of, shown_inputs
from mlpatterns.server.rows.texts import TextRows
from mlpatterns.tensors import required

__all__ = ["Decode", "InputColumn", "Named", "Read", "data_of", "decoder_for", "named_of", "reader_for", "shown_inputs"]

Decode = Callable[[bytes], Array]
Read = Callable[[bytes], dict[str, Array]]


def reader_for(specs: Sequence[TensorSpec], max_elements: int, *, ignore_extra: bool = False) -> Read:
    """Makes the function that decodes a body to the arrays of a model's inputs. It raises InvalidInput or TooLarge.

    Args:
        max_elements: the most elements that one tensor may have.
        ignore_extra: whether columns that the model does not have are dropped instead of refused.
    """
    needed = [spec for spec in specs if required(spec)]
    one = decoder_for(needed[0], max_elements, ignore_extra=ignore_extra) if len(needed) == 1 else None
    if one is None or len(specs) > 1:
        several = SeveralInputs(specs, max_elements, ignore_extra=ignore_extra)
        return several if one is None else NamedOrNot(several, needed[0].name, one)
    return lambda body: {needed[0].name: one(body)}


@lru_cache(maxsize=256)
def decoder_for(spec: TensorSpec, max_elements: int, *, ignore_extra: bool = False) -> Decode:
    """Makes the function that decodes a body to the array of the input `spec`. It raises InvalidInput or TooLarge."""
    if spec.datatype == "BYTES":
        return TextRows(spec, max_elements, ignore_extra=ignore_extra)
    if len(spec.shape) == 2 and spec.datatype.startswith("FP"):
        return FloatRows(spec, max_elements, ignore_extra=ignore_extra)
    return NestedRows(spec, max_elements, ignore_extra=ignore_extra)
