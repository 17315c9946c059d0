"""OnnxModel: an ONNX file, from the registry or from disk, as a predictor.

A short call runs on the event loop, because moving it to a thread would take longer than the model itself. A call that
would block the loop for more than a millisecond runs in a thread. If such a call is cancelled,
``RunOptions.terminate`` makes ONNX Runtime stop it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from msgspec.structs import replace

from mlpatterns.context import NOTHING
from mlpatterns.errors import DeadlineExceeded, NotStarted, PredictionError
from mlpatterns.interfaces import MetricSeries
from mlpatterns.metadata import Array
from mlpatterns.models.cost import LOOP_SECONDS, TIMES, Cost
from mlpatterns.models.files import find_model_files
from mlpatterns.models.leaf import LeafPredictor
from mlpatterns.models.onnx.failures import prediction_error
from mlpatterns.models.onnx.memory import Arena
from mlpatterns.models.onnx.model_metadata import checked_overrides, model_metadata
from mlpatterns.models.onnx.options import SessionConfig
from mlpatterns.models.onnx.session import open_session
from mlpatterns.models.onnx.strings import decoded, encoded
from mlpatterns.models.sample.rows import Sample
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Runtime
from mlpatterns.references import FileReference, Reference, name_of, parse_reference
from mlpatterns.registry.files import ModelFiles
from mlpatterns.runtime import settled
from mlpatterns.tensors import batch_size

__all__ = ["OnnxModel"]

log = logging.getLogger("mlpatterns")

LEARN_SECONDS = LOOP_SECONDS / 10  # shorter calls on the event loop do not update the estimate


class OnnxModel(LeafPredictor):
    """A model run by ONNX Runtime.

    The column names, class names and sample of a file come from ``model.metadata.json`` beside ``model.onnx``. Without
    that file, they come from the metadata embedded in the model (key ``mlpatterns.metadata``). Without both, the class
    names come from the graph if it has them, and `start` searches for a sample. A ZipMap is removed from the graph.

    Args:
        reference: ``name``, ``name@alias``, ``name:3`` or ``file:model.onnx``.
        providers: ONNX Runtime's execution providers, preferred first, as short names (``cuda``) or full names; by
            default those of the setting `provider`, else the CPU. The first must be available.
        session: options of ONNX Runtime's session by name, and entries of its configuration by key. They override those
            of the setting `session`.
        custom_ops: libraries of operators that the model needs, in addition to those of the setting `custom_ops`.
        threads: the number of ONNX Runtime's own threads; by default the CPUs of this container divided by the number
            of workers, but one for a model of less than a megabyte.
        arena: what ONNX Runtime does with the memory of its runs. ``keep``: keeps it for the next run, so the memory
            of a worker stays as large as its largest concurrent batches needed. ``off``: returns large blocks to the
            operating system after each run, which about doubles the time of large batches. By default the setting
            `arena`.
        run_on: where a call runs: on the event loop or in a thread; ``auto`` decides by measured times.
        name: the name to serve it under; by default the reference's name, or the file's stem.
        labels: class names by index, for a model that has no class names, or only numbers.
        columns: the names of the last axis of the one input, [rows, columns].
        missing: columns or inputs that accept null, which becomes NaN; "all" for every float input.
        threshold: for a model with one score for two labels: above this score, the label is the second.
        sample: rows that the model can predict: arrays by input, a .csv file with the columns, or a .npz file with the
            inputs. The first row becomes the sample in the metadata, and gives the sizes of variable axes.

    Raises:
        SettingsError: at construction or at start: an argument is not valid, or does not fit the model.
    """

    def __init__(
        self,
        reference: str | Reference,
        *,
        providers: Sequence[str] = (),
        session: Mapping[str, str | int | bool] = NOTHING,
        custom_ops: Sequence[str | Path] = (),
        threads: int | None = None,
        arena: Arena | None = None,
        run_on: Literal["auto", "loop", "thread"] = "auto",
        name: str | None = None,
        labels: Sequence[str] = (),
        columns: Sequence[str] = (),
        missing: Sequence[str] | Literal["all"] = (),
        threshold: float | None = None,
        sample: Sample | None = None,
    ) -> None:
        self.reference: Reference = parse_reference(reference) if isinstance(reference, str) else reference
        own = name_of(self.reference.path) if isinstance(self.reference, FileReference) else self.reference.name
        super().__init__(name or own)
        said = {key: str(value) for key, value in session.items()}
        self.running = SessionConfig(tuple(providers), said, tuple(map(str, custom_ops)), threads, arena)
        self.run_on, self.overrides = run_on, checked_overrides(labels, columns, missing, threshold, sample)
        self.files: ModelFiles | None = None  # the files that it was loaded from

    async def start(self, runtime: Runtime) -> None:
        self._runtime = runtime
        began = perf_counter()
        self.files = files = await find_model_files(self.reference, runtime)
        workers, how = runtime.settings.workers, self.running.within(runtime.settings)
        what = files.model.name if files.folder is None else f"{files.name}:{files.version}"
        self._session = await runtime.offload(lambda: open_session(files, what, how, workers))
        metadata = await runtime.offload(lambda: model_metadata(files, self._session, self.overrides, self.name))
        self._metadata = replace(metadata, name=self.name, version=files.version)
        self._identity = how.identity(files.sha256)
        self._outputs = tuple(spec.name for spec in self._metadata.outputs)
        self._texts = tuple(spec.name for spec in self._metadata.inputs if spec.datatype == "BYTES")
        self._answers_text = any(spec.datatype == "BYTES" for spec in self._metadata.outputs)
        self._seconds: MetricSeries = runtime.metrics.histogram(
            "mlpatterns_inference_seconds", "Time in the model itself.", piece=runtime.path, version=files.version
        )
        self._cost = await runtime.offload(self._measure)
        log.info("loaded %s:%s (%s) in %.0f ms", self.name, files.version, files.sha256[:12],
                 1000 * (perf_counter() - began))  # fmt: skip

    async def stop(self) -> None:
        self._session = None
        self._metadata = self._identity = None

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        metadata = self._metadata
        if metadata is None:
            raise NotStarted(self.name)
        inputs, names = request.inputs, request.outputs or self._outputs
        if self._texts:
            inputs = decoded(inputs, self._texts)
        rows = batch_size(inputs)
        if self.run_on == "loop" or (self.run_on == "auto" and self._cost.is_short(rows)):
            began = perf_counter()
            values = self._run(names, inputs)
            seconds = perf_counter() - began
            if seconds > LEARN_SECONDS:
                self._cost.learn(rows, seconds)
        else:
            values, seconds = await self._run_in_thread(names, inputs, request.deadline)
            self._cost.learn(rows, seconds)
        self._seconds.observe(seconds)
        return InferenceResponse(dict(zip(names, values, strict=True)), self.name, metadata.version, self._identity)

    # ---- running ----

    def _run(self, names: Sequence[str], inputs: Mapping[str, Array], options: Any = None) -> list[Array]:
        try:
            values: list[Array] = self._session.run(names, inputs, options)
        except BaseException as error:  # a custom operator in Python may raise anything
            raise prediction_error(error, inputs, self._metadata) from error
        if self._answers_text:
            values = [encoded(value) for value in values]
        return values

    async def _run_in_thread(
        self, names: Sequence[str], inputs: Mapping[str, Array], deadline: float | None
    ) -> tuple[list[Array], float]:
        """The outputs, and the duration of the run in seconds, without the wait for a thread."""
        from onnxruntime import RunOptions

        options = RunOptions()

        def work() -> tuple[list[Array], float]:
            if deadline is not None and self._runtime.clock.monotonic() >= deadline:
                raise DeadlineExceeded  # the call waited for a thread too long
            began = perf_counter()
            return self._run(names, inputs, options), perf_counter() - began

        task = asyncio.ensure_future(self._runtime.offload(work))
        try:
            return await settled(task, lambda: setattr(options, "terminate", True))
        finally:
            del task  # the task references its error, and the error references this frame

    # ---- starting ----

    def _measure(self) -> Cost:
        """Measures the cost of a call with the sample. A model without a sample, or one that refuses its sample, counts
        as slow."""
        described = self.metadata
        if described.sample is None:
            return Cost()
        sample = described.sample
        rows, bound = batch_size(sample), described.max_batch_size
        any_rows = all(spec.shape[:1] == (-1,) for spec in described.inputs if spec.name in sample) and (
            bound is None or TIMES * rows <= bound
        )

        def run(inputs: Mapping[str, Array]) -> None:
            self._run(self._outputs, decoded(inputs, self._texts) if self._texts else inputs)

        try:
            return Cost.measured(run, sample, rows if any_rows else 0)
        except PredictionError:
            log.warning("%s refused its warm-up sample; its first calls will run in threads", self.name)
            return Cost()
