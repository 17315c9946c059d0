"""Proves that a graph gives the same answers as its model: on the sample, on its first row, and on the sample twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import MlpatternsError
from mlpatterns.exporting.graph import finish
from mlpatterns.exporting.source import Draft, ExportSource, first_line
from mlpatterns.metadata import Array
from mlpatterns.training.parity import Parity, compare, run_onnx
from mlpatterns.user_errors import UserError

__all__ = ["Proven", "proven"]


class Proven(Struct):
    """A graph that gives the same answers as its model.

    Attributes:
        model: a ModelProto.
        inputs: the sample by name, only for the inputs that the graph uses.
        fields: the column names of its one input, or empty.
    """

    model: Any
    inputs: Mapping[str, Array]
    fields: tuple[str, ...]
    parity: Parity


def proven(source: ExportSource, tolerance: float) -> Proven:
    """The first draft that gives the same answers as the model, within `tolerance`.

    Raises:
        UserError: no draft can be converted, or all give other answers; the text says which output differs, and how.
    """
    failed: list[UserError] = []
    for draft in source.drafts:
        try:
            return _proven_draft(source, draft, tolerance)
        except UserError as error:
            failed.append(error)
    differing = [error for error in failed if isinstance(error, _Differs)]
    raise differing[0] if differing else failed[-2:][0]  # the first of the last two drafts, which have only floats


class _Differs(UserError):
    """The graph runs, but gives other answers."""


def _proven_draft(source: ExportSource, draft: Draft, tolerance: float) -> Proven:
    try:
        model = draft.make()
    except MlpatternsError:
        raise
    except Exception as error:  # each exporter has its own exceptions
        raise UserError(f"{source.kind} cannot be exported: {first_line(error)}") from error
    used = finish(model, tuple(draft.inputs), source.expected)
    inputs = {name: draft.inputs[name] for name in used}
    return Proven(model, inputs, draft.fields, _parity(source, model.SerializeToString(), inputs, tolerance))


def _parity(source: ExportSource, content: bytes, inputs: Mapping[str, Array], tolerance: float) -> Parity:
    found = []
    for what, asked, expected in _cases(source, inputs):
        try:
            got = run_onnx(content, asked)
        except MlpatternsError as error:
            raise UserError(f"{source.kind}: the exported graph does not run{what}: {first_line(error)}") from error
        found.append(_compared(source.kind + what, expected, got, tolerance))
    return replace(found[0], max_difference=max(parity.max_difference for parity in found))


def _cases(
    source: ExportSource, inputs: Mapping[str, Array]
) -> Iterator[tuple[str, Mapping[str, Array], Mapping[str, Array]]]:
    """The inputs to try, with a description and the expected answers. A traced graph is also run with other values,
    because it contains only the branches that the sample took."""
    yield "", inputs, source.expected
    for times in (0, 2):
        asked = _rows(inputs, times)
        answers = source.again(asked) if source.again else _rows(source.expected, times)
        yield " for another number of rows", asked, answers
    if source.again:
        asked = {name: -value if value.dtype.kind == "f" else value for name, value in inputs.items()}
        yield " for other values than the sample's (does it branch on them?)", asked, source.again(asked)


def _rows(arrays: Mapping[str, Array], times: int) -> dict[str, Array]:
    """The rows repeated `times` times; 0: only the first row."""
    return {name: np.concatenate([value] * times) if times else value[:1] for name, value in arrays.items()}


def _compared(kind: str, expected: Mapping[str, Array], got: Mapping[str, Array], tolerance: float) -> Parity:
    margin = _margin(expected)
    found = [_compared_output(kind, name, value, got[name], margin, tolerance) for name, value in expected.items()]
    return replace(
        found[0],
        max_difference=max(parity.max_difference for parity in found),
        ties=max(parity.ties for parity in found),
    )


def _compared_output(
    kind: str, name: str, value: Array, answer: Array, margin: Array | None, tolerance: float
) -> Parity:
    if value.shape != answer.shape:
        raise _differs(kind, name, f"in shape, {list(answer.shape)} for {list(value.shape)}")
    if value.dtype.kind != "f":
        parity = compare({name: value}, {name: answer}, margin, tolerance)
        what = f"in {parity.other_labels} of {parity.rows} rows"
    else:
        left, right = _scaled(value, answer)
        parity = compare({name: left}, {name: right}, None, tolerance)
        rows = int((~(np.abs(left - right) <= tolerance)).reshape(len(left), -1).any(axis=1).sum())
        what = f"by {parity.max_difference:.3g} in {rows} of {len(left)} rows (at most {tolerance:g} is allowed)"
    if not parity.holds:
        raise _differs(kind, name, what)
    return parity


def _differs(kind: str, name: str, what: str) -> UserError:
    return _Differs(
        f"{kind}: the exported graph answers otherwise than the model, its {name!r} differs {what}; no file was written"
    )


def _scaled(value: Array, answer: Array) -> tuple[Array, Array]:
    """Both arrays with 0 where they are equal or both NaN. Values above 1 are scaled by the expected value, because the
    precision of float32 is relative."""
    value, answer = value.astype(np.float64), answer.astype(np.float64)
    same = (value == answer) | (np.isnan(value) & np.isnan(answer))
    unit = np.maximum(1.0, np.abs(value))
    return np.where(same, 0.0, value / unit), np.where(same, 0.0, answer / unit)


def _margin(expected: Mapping[str, Array]) -> Array | None:
    """How far the scores of each row are from another label. With several outputs of scores, the smallest distance."""
    margins = []
    for value in expected.values():
        if value.dtype.kind == "f" and value.ndim == 2:
            best = np.sort(value, axis=1)
            margins.append(np.abs(value[:, 0]) if value.shape[1] == 1 else best[:, -1] - best[:, -2])
    return np.min(margins, axis=0) if margins and len(expected) > 1 else None
