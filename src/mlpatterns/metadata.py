"""The inputs and outputs of a model: tensors by name, with datatypes of the Open Inference Protocol and of numpy.

Arrays are passed by name. Their first axis is the batch; a tensor of datatype BYTES is an object array of ``bytes``.
Inputs are read-only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import force_setattr

from mlpatterns.user_errors import InvalidSpec, UserError

__all__ = ["DTYPES", "Array", "ModelMetadata", "TensorSpec", "datatype_of", "names_in"]

Array = np.ndarray[Any, np.dtype[Any]]


class TensorSpec(Struct, frozen=True):
    """One input or output of a model.

    Attributes:
        name: its name in requests and responses.
        datatype: a name of the Open Inference Protocol: BOOL, UINT8 … UINT64, INT8 … INT64, FP16, FP32, FP64, BYTES.
            It may also be given as ``fp32`` or ``float32``, as a dtype of numpy or torch, or as Python's ``float``
            (which is FP64), ``int``, ``bool``, ``str`` or ``bytes``.
        shape: the size of each axis, the batch first; -1 is a variable size, which may be given as None or a name.
        content: what the elements mean; it decides how the simple API decodes them.
        fields: the column names of the last axis, or empty.
        missing: whether null is accepted, which becomes NaN.
        missing_fields: the columns that accept null; if empty, `missing` applies to all columns.
        optional: whether a request may omit this input, because the model has a default value for it.

    Raises:
        InvalidSpec: at construction: the attributes describe no valid tensor.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: Literal["tensor", "image", "key", "text"] = "tensor"
    fields: tuple[str, ...] = ()
    missing: bool = False
    missing_fields: tuple[str, ...] = ()
    optional: bool = False

    if TYPE_CHECKING:  # the types of the arguments; the attributes have the types above

        def __init__(
            self,
            name: str,
            datatype: object,
            shape: Sequence[int | str | None],
            content: Literal["tensor", "image", "key", "text"] = "tensor",
            fields: Sequence[str] = (),
            missing: bool = False,
            missing_fields: Sequence[str] = (),
            optional: bool = False,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidSpec("a tensor needs a name")
        force_setattr(self, "name", str(self.name))  # numpy has a subclass of str
        what = f"tensor {self.name!r}"
        force_setattr(self, "datatype", _datatype(what, self.datatype))
        force_setattr(self, "shape", _shape(what, self.shape))
        force_setattr(self, "fields", names_in(f"{what}: fields", self.fields, "column names"))
        force_setattr(self, "missing_fields", names_in(f"{what}: missing_fields", self.missing_fields, "column names"))
        if self.content not in CONTENTS:
            raise InvalidSpec(f"{what}: there is no content {self.content!r}; use {', '.join(CONTENTS)}")
        if self.fields and self.shape and self.shape[-1] not in (-1, len(self.fields)):
            raise InvalidSpec(f"{what} has {len(self.fields)} column names for {self.shape[-1]} columns")
        _check_truth(f"{what}: missing", self.missing, "; name columns in missing_fields")
        _check_truth(f"{what}: optional", self.optional)
        if self.missing and not self.datatype.startswith("FP"):
            raise InvalidSpec(f"{what}: only FP16, FP32 and FP64 have a NaN for missing values")
        if len(set(self.fields)) < len(self.fields):
            raise InvalidSpec(f"{what} has two columns with the same name; give each its own")
        if self.missing_fields and not (self.missing and {*self.missing_fields} <= {*self.fields}):
            raise InvalidSpec(f"{what}: missing_fields must be columns of a tensor with missing=True")


class ModelMetadata(Struct, frozen=True):
    """The inputs and outputs of a predictor.

    Attributes:
        name, version: the name and the version of the model.
        platform: the software that runs it, such as ``onnxruntime_onnx``.
        inputs, outputs: its tensors, in order.
        primary_output: the output that the simple API returns.
        labels: class names by index, or empty.
        sample: example inputs by name that the model can predict, or None.
        max_batch_size: the most rows of one request; None means no limit.
        threshold: for a model with one score and two labels: a higher score means the second label.
    """

    name: str
    version: str
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    primary_output: str
    labels: tuple[str, ...] = ()
    sample: Mapping[str, Array] | None = None
    max_batch_size: int | None = None
    threshold: float | None = None


DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "UINT8": np.dtype(np.uint8),
        "UINT16": np.dtype(np.uint16),
        "UINT32": np.dtype(np.uint32),
        "UINT64": np.dtype(np.uint64),
        "INT8": np.dtype(np.int8),
        "INT16": np.dtype(np.int16),
        "INT32": np.dtype(np.int32),
        "INT64": np.dtype(np.int64),
        "FP16": np.dtype(np.float16),
        "FP32": np.dtype(np.float32),
        "FP64": np.dtype(np.float64),
        "BYTES": np.dtype(object),
    }
)
CONTENTS = ("tensor", "image", "key", "text")
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
# Common spellings, in lower case. A bare "float" or "int" is not among them: numpy means 64 bits, others mean 32.
_SPELLINGS = (
    {name.lower(): name for name in DTYPES}
    | {dtype.name: name for name, dtype in DTYPES.items()}
    | {dtype.str[1:]: name for name, dtype in DTYPES.items() if dtype.kind != "O"}
    | {"half": "FP16", "double": "FP64", "boolean": "BOOL", "str": "BYTES", "string": "BYTES"}
)
_OF_TORCH = {"float": "FP32", "int": "INT32", "long": "INT64", "short": "INT16"}
_OF_PYTHON = {float: "FP64", int: "INT64", bool: "BOOL", str: "BYTES", bytes: "BYTES", object: "BYTES"}


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The protocol's name for a numpy dtype, of either byte order; text and bytes of any length are BYTES.

    Raises:
        UserError: the protocol has no name for it (complex numbers, dates).
    """
    if dtype.kind in "SU":
        return "BYTES"
    name = _NAMES.get(dtype.newbyteorder("="))
    if name is None:
        raise UserError(f"arrays of {dtype} cannot be served; convert them to one of {', '.join(DTYPES)}")
    return name


def _datatype(what: str, given: object) -> str:
    """The protocol's name of a datatype, however it is spelt."""
    known = _spelt(given)
    if known is None:
        raise InvalidSpec(f"{what}: there is no datatype {_brief(given)}; use {', '.join(DTYPES)}")
    return known


def _spelt(given: object) -> str | None:
    if isinstance(given, type) and not issubclass(given, np.generic):
        return _OF_PYTHON.get(given)  # numpy would treat any other class as `object`
    text = given if isinstance(given, str) else str(given)
    if text.startswith("torch."):  # torch need not be installed
        text = text.removeprefix("torch.")
        return _OF_TORCH.get(text) or _SPELLINGS.get(text)
    if isinstance(given, str):
        return _SPELLINGS.get(text.lower())
    try:
        return None if given is None else datatype_of(np.dtype(given))  # type: ignore[call-overload]
    except (TypeError, ValueError, UserError):
        return None


def _shape(what: str, given: object) -> tuple[int, ...]:
    if not isinstance(given, list | tuple):
        raise InvalidSpec(
            f"{what}: the shape {_brief(given)} must be a tuple with a size for each axis, such as (-1, 4)"
        )
    named = [size is None or (isinstance(size, str) and not size.lstrip("-").isdigit()) for size in given]
    sizes = tuple(-1 if free else size for free, size in zip(named, given, strict=True))
    if any(isinstance(size, bool) or not isinstance(size, int | np.integer) or size < -1 for size in sizes):
        raise InvalidSpec(f"{what}: the shape {_brief(given)} must hold whole numbers, -1 for a free axis")
    return tuple(int(size) for size in sizes)


def names_in(what: str, given: object, kind: str = "names") -> tuple[str, ...]:
    """The names in a list, or in an array or index of numpy or pandas; `what` and `kind` name the list and its elements
    in the error text.

    Raises:
        InvalidSpec: `given` is not a list of text.
    """
    if not isinstance(given, str) and isinstance(given, Iterable):
        names = tuple(given)
        if all(isinstance(name, str) for name in names):
            return tuple(str(name) for name in names)  # numpy has a subclass of str
    raise InvalidSpec(f"{what} must be a list of {kind}, not {_brief(given)}")


def _check_truth(what: str, given: object, hint: str = "") -> None:
    if not isinstance(given, bool):
        raise InvalidSpec(f"{what} must be True or False, not {_brief(given)}{hint}")


def _brief(given: object) -> str:
    return repr(given)[:100]
