"""Finds a sample that a model accepts by trying sizes, for a model file that does not declare the sizes of its axes."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from threading import Timer
from time import perf_counter
from typing import Any

import numpy as np
from msgspec.structs import replace

from mlpatterns.metadata import DTYPES, Array, ModelMetadata, TensorSpec
from mlpatterns.models.onnx.strings import decoded, encoded
from mlpatterns.tensors import finite

__all__ = ["SessionTrial", "blank", "find_sample"]

log = logging.getLogger("mlpatterns")

SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 28, 30, 32, 48, 64, 96, 100, 112, 128, 160, 192, 224, 256,
         299, 384, 512, 784, 1024)  # fmt: skip
FEW = (1, 3, 2, 4, 8, 16, 28, 32, 64, 128, 224)  # sizes to try when the axes have different sizes
RANKS = (2, 1, 3, 4, 0)  # for an input that may have any rank, the most usual first
MOST_ELEMENTS = 4 * 1024 * 1024
SECONDS = 5.0  # time limit for all attempts together
FATAL = 4  # ONNX Runtime's log level; a size that does not fit is not an error here

Outputs = Mapping[str, Array]


class SessionTrial:
    """Runs a session with inputs that it may refuse.

    Attributes:
        axes: the size or the symbol of each axis in the graph, by input name.
        names: the names of the outputs.
    """

    def __init__(self, session: Any) -> None:
        self._session, self._until = session, perf_counter() + SECONDS
        self.axes = {node.name: tuple(node.shape or ()) for node in session.get_inputs()}
        self.names = [node.name for node in session.get_outputs()]

    @property
    def over(self) -> bool:
        """Whether the time for all attempts has passed."""
        return perf_counter() > self._until

    def run(self, inputs: Mapping[str, Array], *, bounded: bool = False) -> Outputs | None:
        """The outputs, or None if the model refuses the inputs.

        Args:
            bounded: whether to stop the run when the time for all attempts has passed, but not before 0.1 s.
        """
        from onnxruntime import RunOptions

        options = RunOptions()
        options.log_severity_level = FATAL
        timer = Timer(max(0.1, self._until - perf_counter()), lambda: setattr(options, "terminate", True))
        timer.daemon = True
        if bounded:
            timer.start()
        texts = [name for name, value in inputs.items() if value.dtype == object]
        try:
            values = self._session.run(self.names, decoded(inputs, texts), options)
        except Exception as error:  # ONNX Runtime raises many types, and a custom operator in Python any type
            log.debug("a sample was refused", exc_info=error)
            return None
        finally:
            timer.cancel()
        return dict(zip(self.names, map(encoded, values), strict=True))


def find_sample(
    metadata: ModelMetadata, trial: SessionTrial, unranked: Sequence[str] = ()
) -> tuple[ModelMetadata, Outputs]:
    """`metadata` with the first sample that the model accepts, and its outputs; no sample if the model accepts none.

    The sample is zeros, or ones if only ones give finite outputs; there is no sample if neither does. Variable axes are
    first tried with equal sizes, from 1 up, then with different sizes. For an input without a shape, several ranks are
    tried; the metadata then has the rank that the model accepted.

    Args:
        unranked: the names of the inputs without a shape.
    """
    for inputs in _ranked([spec for spec in metadata.inputs if not spec.optional], unranked):
        for sizes in _sizes(inputs, trial):
            ran = _ran(inputs, sizes, trial)
            if ran is not None:
                tried_as = {spec.name: spec for spec in inputs}
                specs = tuple(tried_as.get(spec.name, spec) for spec in metadata.inputs)
                return replace(metadata, inputs=specs, sample=_shown(metadata.name, *ran)), ran[1]
            if trial.over:
                break
    log.warning("%s runs neither zeros nor ones of any shape that was tried, so it has no sample; "
                "give it rows with --sample", metadata.name)  # fmt: skip
    return replace(metadata, sample=None), {}


def _shown(name: str, sample: dict[str, Array], outputs: Outputs) -> dict[str, Array] | None:
    """The sample, or None if its outputs are not finite, because JSON cannot express them."""
    if finite(outputs):
        return sample
    log.warning("%s answers zeros and ones with NaN or infinity, so it has no sample; give it rows with --sample", name)
    return None


def _ran(
    inputs: Sequence[TensorSpec], sizes: Mapping[str, Sequence[int]], trial: SessionTrial
) -> tuple[dict[str, Array], Outputs] | None:
    """A sample of these sizes that the model accepts, and its outputs; ones only if zeros give no finite outputs."""
    kept = None
    for fill in (0, 1):
        sample = blank(inputs, sizes, fill)
        outputs = trial.run(sample, bounded=True)
        if outputs is not None and finite(outputs):
            return sample, outputs
        kept = kept or (None if outputs is None else (sample, outputs))
    return kept


def blank(
    inputs: Sequence[TensorSpec], sizes: Mapping[str, Sequence[int]] | None = None, fill: int = 0
) -> dict[str, Array]:
    """Arrays of the declared shapes, filled with one value; optional inputs are left out.

    Args:
        sizes: the shapes by input name; without them, variable sizes are 1.
    """
    made: dict[str, Array] = {}
    for spec in inputs:
        if spec.optional:
            continue
        shape = sizes[spec.name] if sizes else [max(1, size) for size in spec.shape]
        text = b"1" if fill else b""
        made[spec.name] = np.full(shape, text if spec.datatype == "BYTES" else fill, dtype=DTYPES[spec.datatype])
    return made


def _ranked(inputs: Sequence[TensorSpec], unranked: Sequence[str]) -> Iterator[tuple[TensorSpec, ...]]:
    for rank in RANKS if unranked else (0,):
        yield tuple(replace(spec, shape=(-1,) * rank) if spec.name in unranked else spec for spec in inputs)


def _sizes(inputs: Sequence[TensorSpec], trial: SessionTrial) -> Iterator[Mapping[str, Sequence[int]]]:
    """The shapes to try. Variable axes except the batch axis first get equal sizes, then a different size by symbol."""
    groups = list(dict.fromkeys(key for spec in inputs for key in _keys(spec, trial) if key is not None))
    tries = [dict.fromkeys(groups, size) for size in (SIZES if groups else (1,))]
    if 1 < len(groups) <= 4:
        tuples = sorted(itertools.product(FEW, repeat=len(groups)), key=math.prod)
        tries += [dict(zip(groups, each, strict=True)) for each in tuples if len({*each}) > 1]
    for chosen in tries:
        sizes = {spec.name: _shape(spec, chosen, trial) for spec in inputs}
        if sum(math.prod(shape) for shape in sizes.values()) <= MOST_ELEMENTS:
            yield sizes


def _keys(spec: TensorSpec, trial: SessionTrial) -> list[Any]:
    """A key for each axis: the symbol of its size, or a unique key; None if the axis is fixed or the batch axis."""
    symbols = trial.axes.get(spec.name, ())
    keys: list[Any] = []
    for axis, size in enumerate(spec.shape):
        symbol = symbols[axis] if axis < len(symbols) and isinstance(symbols[axis], str) else None
        batch = axis == 0 and len(spec.shape) > 1
        keys.append(None if size != -1 or batch else symbol or (spec.name, axis))
    return keys


def _shape(spec: TensorSpec, chosen: Mapping[Any, int], trial: SessionTrial) -> list[int]:
    keys = _keys(spec, trial)
    return [chosen.get(key, 1) if size == -1 else max(1, size)
            for size, key in zip(spec.shape, keys, strict=True)]  # fmt: skip
