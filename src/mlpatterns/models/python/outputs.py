"""Converts the outputs of Python code to the declared arrays: casts them if no information is lost, else raises."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mlpatterns.errors import InternalError
from mlpatterns.metadata import DTYPES, Array, TensorSpec
from mlpatterns.user_code import call_user_code, kind_of

__all__ = ["Misfit", "Outputs", "fitted"]

log = logging.getLogger("mlpatterns")

EXACT = 2**53  # float64 represents all integers up to this one exactly
OURS = "the fault is the model's, not the request's"


class Misfit(Exception):
    """A value does not fit its declaration; the error text describes the value."""


class Outputs:
    """The declared outputs of a model, `specs`. If one of `inputs` has a batch axis, each output with a batch axis must
    have as many rows as the first such input."""

    def __init__(self, specs: Sequence[TensorSpec], inputs: Sequence[TensorSpec]) -> None:
        self._specs = tuple(specs)
        self._counted = next((spec.name for spec in inputs if spec.shape[:1] == (-1,)), None)

    def checked(self, answer: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The declared outputs in `answer`, with the declared datatypes and shapes.

        Raises:
            InternalError: `answer` is not a mapping, or an output is missing or does not fit its declaration.
        """
        if not isinstance(answer, Mapping):
            raise InternalError(_nameless(answer, self._specs[0].name))
        counted = inputs.get(self._counted) if self._counted is not None else None
        rows = len(counted) if counted is not None and counted.ndim else None
        outputs = {}
        for spec in self._specs:
            if spec.name not in answer:
                raise InternalError(f"the model gave no output {spec.name!r}; {OURS}")
            try:
                value = fitted(spec, answer[spec.name])
            except Misfit as error:
                raise InternalError(f"the model gave {error} in output {spec.name!r}, but {_words(spec)} is declared; "
                                    f"{OURS}") from error  # fmt: skip
            if rows is not None and spec.shape[:1] == (-1,):
                _check_rows(spec, value, rows)
            if not _has_shape(spec, value):
                raise InternalError(f"the model gave {spec.datatype} {list(value.shape)} in output {spec.name!r}, but "
                                    f"{_words(spec)} is declared; {OURS}")  # fmt: skip
            outputs[spec.name] = value
        return outputs


def fitted(spec: TensorSpec, value: Any) -> Array:
    """`value` as an array of the datatype of `spec`. The shape is not checked. Floats may be rounded, but not overflow.

    Raises:
        Misfit: the cast would lose information, or `value` is not an array.
    """
    array, wanted = _array(value), DTYPES[spec.datatype]
    if array.dtype == wanted and wanted.kind != "O":
        return array
    if spec.datatype == "BYTES":
        return _texts(array)
    if array.dtype.kind == "O":  # for example, numbers from a table with mixed columns
        array = _array(array.tolist())
    if array.dtype.kind not in "biuf":
        raise Misfit(_words_of(array))
    return _cast(array, wanted)


def _array(value: Any) -> Array:
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ma.MaskedArray) and value.mask.any():
        raise Misfit("an array with values that are masked")
    if isinstance(value, Iterator):
        value = call_user_code(list, value)
    try:
        array: Array = call_user_code(lambda: np.asarray(_on_cpu(value)))
    except Exception as error:
        log.error("%s that a model returned is not an array: %s", kind_of(value), error)
        raise Misfit(f"{kind_of(value)} that is not an array") from error
    if array.dtype.kind == "O" and not array.ndim:
        raise Misfit(kind_of(array.item()))
    return array


def _on_cpu(value: Any) -> Any:
    """A torch tensor without gradients, on the CPU, in a datatype that NumPy supports; other values unchanged."""
    if not hasattr(value, "detach"):
        return value
    value = value.detach().cpu()
    return value.float() if str(value.dtype) == "torch.bfloat16" else value


def _cast(array: Array, wanted: np.dtype[Any]) -> Array:
    if np.can_cast(array.dtype, wanted, "safe"):
        return array.astype(wanted)
    with np.errstate(all="ignore"):
        cast = array.astype(wanted)
    if array.dtype.kind == "f" and wanted.kind == "f":
        if bool((np.isinf(cast) & ~np.isinf(array)).any()):
            raise Misfit(f"{_words_of(array)} with a number too large")
    elif not _equal(array, cast):
        raise Misfit(f"{_words_of(array)} with a number that does not fit")
    return cast


def _equal(array: Array, cast: Array) -> bool:
    """Whether the cast kept all numbers; the comparison is exact for both datatypes."""
    if array.dtype.kind in "iu" and cast.dtype.kind in "iu":
        return bool(((cast == array) & ((cast < 0) == (array < 0))).all())
    exact = array.astype(np.float64)
    return bool(((np.abs(exact) <= EXACT) & (cast.astype(np.float64) == exact)).all())


def _texts(array: Array) -> Array:
    """Texts as UTF-8, and bytes as they are."""
    if array.dtype.kind not in "OSUT":
        raise Misfit(_words_of(array))
    texts = np.empty(array.shape, dtype=object)
    texts.ravel()[:] = [_bytes(text) for text in array.ravel().tolist()]
    return texts


def _bytes(text: Any) -> bytes:
    if type(text) is bytes:
        return text
    if isinstance(text, bytes | bytearray | memoryview):
        return bytes(text)
    if not isinstance(text, str):
        raise Misfit(f"{kind_of(text)} where text or bytes belong")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Misfit("text that UTF-8 cannot encode") from None


def _check_rows(spec: TensorSpec, value: Array, rows: int) -> None:
    if not value.ndim or len(value) != rows:
        found = f"{len(value)} rows" if value.ndim else "no batch axis"
        raise InternalError(f"the model gave {found} in output {spec.name!r} for {rows} rows of input; {OURS}")


def _has_shape(spec: TensorSpec, value: Array) -> bool:
    sizes = zip(spec.shape, value.shape, strict=False)
    return value.ndim == len(spec.shape) and all(size in (-1, given) for size, given in sizes)


def _nameless(answer: Any, first: str) -> str:
    if inspect.isawaitable(answer):
        close = getattr(answer, "close", None)
        if close is not None:
            close()  # otherwise Python warns about a coroutine that was never awaited
        return "the model gave something to await; code that waits needs run_on='loop'"
    return f"the model did not give its outputs by name, as in {{{first!r}: …}}, but {kind_of(answer)}; {OURS}"


def _words(spec: TensorSpec) -> str:
    return f"{spec.datatype} {list(spec.shape)}"


def _words_of(array: Array) -> str:
    """Datatype and shape for an error text, with the Open Inference Protocol's name of the datatype if it has one."""
    known = {dtype: name for name, dtype in DTYPES.items()}
    name = "text" if array.dtype.kind in "SUT" else known.get(array.dtype.newbyteorder("="), str(array.dtype))
    return f"{'objects' if array.dtype.kind == 'O' else name} {list(array.shape)}"
