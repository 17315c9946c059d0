"""PythonModel: any Python code as a predictor, such as torch, Hugging Face, XGBoost, scikit-learn or a function."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from mlpatterns.base import BasePredictor
from mlpatterns.errors import DeadlineExceeded, InternalError, InvalidInput, NotStarted, PredictionError
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec, names_in
from mlpatterns.models.python.functions import Functions, Load, Predict
from mlpatterns.models.python.outputs import Misfit, Outputs, fitted
from mlpatterns.models.python.places import ErrorInChild, OnLoop, OnThread, Place
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Runtime
from mlpatterns.tensors import read_only, validate
from mlpatterns.user_code import text_for_client, user_exc_info
from mlpatterns.user_errors import CompositionError, ModelFileError, UserError

__all__ = ["PythonModel"]

log = logging.getLogger("mlpatterns")


class PythonModel(BasePredictor):
    """A model made of your functions: ``PythonModel(load, predict, …)``, or ``PythonModel(predict=predict, …)``.

    `predict` gets the result of `load`, if there is one, and the read-only input arrays by name. It returns the output
    arrays by name. The first axis of each array is the batch axis. If `predict` has an argument ``parameters``, it gets
    the parameters of the request. ``torch.from_numpy`` ignores that an array is read-only: use ``torch.tensor`` for
    tensors that your code writes to. Outputs are cast to the declared datatypes if no information is lost; floats may
    be rounded.

    Args:
        load: makes the model, once at start. It runs in a thread (unless it is `async def`), or in each child process.
        predict: ``predict(state, inputs)``, or ``predict(inputs)`` without `load`.
        inputs, outputs: the specs of the inputs and outputs.
        sample: inputs by name that the model can predict; `/predict/test` uses them.
        labels: class names of the primary output, by index.
        run_on: ``loop``: on the event loop, for work under a millisecond, and the only place for ``async def``;
            ``thread``: for code that releases the GIL and may be called from several threads at once;
            ``process``: in child processes that import both functions, for code that holds the GIL.
        processes: the number of child processes, with ``process``; each loads its own model and runs one call at a
            time. The threads of BLAS, torch and ONNX Runtime are divided so that the children share the CPUs, unless
            the environment sets the number of threads (``OMP_NUM_THREADS``).
        digest: a digest of everything that decides the answers, such as the SHA-256 of the weights. Without it, answers
            are not cached.
        name: the name to serve it under; by default ``python``.
        version: the version of the model in answers and metadata; another version has another identity.
        primary_output: the output that the simple API returns; by default the first.
        max_batch_size: the maximum number of rows in one request; by default there is no limit.
        threshold: for a primary output with one score for two labels: above this score, the label is the second.

    Raises:
        CompositionError: at construction: an argument is not valid, the functions cannot run where `run_on` says or do
            not accept their arguments, or the sample does not fit `inputs`.
        ModelFileError: at start: `load` failed.
        InternalError: `predict` failed, or its result does not fit `outputs`.
        Unavailable: the child process that worked on the request died; a new one replaces it.
    """

    def __init__(
        self,
        load: Load | None = None,
        predict: Predict | None = None,
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        sample: Mapping[str, Any] | None = None,
        labels: Sequence[str] = (),
        run_on: Literal["loop", "thread", "process"] = "loop",
        processes: int = 1,
        digest: str | None = None,
        name: str | None = None,
        version: str = "1",
        primary_output: str | None = None,
        max_batch_size: int | None = None,
        threshold: float | None = None,
    ) -> None:
        super().__init__(name or "python")
        _check_texts(self.name, version=version, digest=digest or "")
        labels = names_in(f"{self.name!r}: labels", labels)
        inputs, outputs = _specs(self.name, "inputs", inputs), _specs(self.name, "outputs", outputs)
        names = tuple(spec.name for spec in outputs)
        if (primary_output or names[0]) not in names:
            raise CompositionError(f"{self.name!r} has no output {primary_output!r} to be the primary one; "
                                   f"it has {', '.join(names)}")  # fmt: skip
        _check_labels(self.name, labels, next(spec for spec in outputs if spec.name == (primary_output or names[0])))
        if max_batch_size is not None and (type(max_batch_size) is not int or max_batch_size < 1):
            raise CompositionError(f"{self.name!r}: max_batch_size must be at least 1, or None for no bound")
        self._described = ModelMetadata(
            self.name, version, "python", inputs, outputs, primary_output or names[0], labels,
            None if sample is None else _sample(self.name, sample, inputs, max_batch_size), max_batch_size,
            threshold,
        )  # fmt: skip
        self.digest, self._outputs = digest, names
        functions = Functions(load, predict, self.name)
        self._place = _place(run_on, functions, Outputs(outputs, inputs), processes, self.name)
        self._started = False

    @property
    def metadata(self) -> ModelMetadata:
        if not self._started:
            raise NotStarted(self.name)
        return self._described

    def identity(self) -> str | None:
        if self.digest is None:
            return None
        return hashlib.sha256("\n".join((self.digest, self.name, self._described.version)).encode()).hexdigest()

    async def start(self, runtime: Runtime) -> None:
        self._clock = runtime.clock
        self._identity = self.identity()
        try:
            await self._place.open(runtime)
        except UserError:
            raise
        except Exception as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())
            raise ModelFileError(f"the model {self.name!r} did not load: {words}") from error
        self._started = True

    async def stop(self) -> None:
        self._started = False
        await self._place.close()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        if not self._started:
            raise NotStarted(self.name)
        for asked in request.outputs:
            if asked not in self._outputs:
                raise InvalidInput(f"there is no output {asked!r}; the model has {', '.join(self._outputs)}")
        if request.deadline is not None and self._clock.monotonic() >= request.deadline:
            raise DeadlineExceeded
        inputs = {name: read_only(value) for name, value in request.inputs.items()}
        try:
            outputs = await self._place.call(inputs, request.parameters, request.deadline)
        except PredictionError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        if request.outputs:
            outputs = {asked: outputs[asked] for asked in request.outputs}
        return InferenceResponse(outputs, self.name, self._described.version, self._identity)

    def _failed(self, error: Exception) -> InternalError:
        """The error for the client; the details are logged."""
        if isinstance(error, ErrorInChild):
            log.error("%r: %s, in a child process\n%s", self.name, error.client_text, error.trace)
            return InternalError(error.client_text, logged=True)
        said = text_for_client(error, "the model failed")
        log.error("%r: %s", self.name, said, exc_info=user_exc_info(error))
        return InternalError(said, logged=True)


def _specs(name: str, what: str, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    if not isinstance(specs, list | tuple) or not all(isinstance(spec, TensorSpec) for spec in specs):
        raise CompositionError(f"{name!r}: {what} must be a list of TensorSpecs")
    if not specs:
        raise CompositionError(f"{name!r} needs {what}; declare at least one TensorSpec")
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        raise CompositionError(f"{name!r} has two {what} with the same name; give each its own")
    return tuple(specs)


def _check_texts(name: object, **given: object) -> None:
    for what, value in {"name": name, **given}.items():
        if not isinstance(value, str):
            raise CompositionError(f"{name!r}: {what} must be text, not {value!r}")


def _check_labels(name: str, labels: Sequence[str], answer: TensorSpec) -> None:
    if not labels or len(answer.shape) != 2 or not answer.datatype.startswith("FP"):
        return  # no labels, or the output does not have one score for each label
    scores = answer.shape[1]
    if scores > 1 and scores != len(labels):
        raise CompositionError(f"{name!r} has {len(labels)} labels for {scores} scores in {answer.name!r}")


def _sample(
    name: str, sample: Mapping[str, Any], inputs: Sequence[TensorSpec], most: int | None
) -> Mapping[str, Array]:
    if not isinstance(sample, Mapping):
        raise CompositionError(f"{name!r}: the sample must hold arrays by the names of the inputs")
    arrays: dict[str, Array] = {}
    try:
        for spec in inputs:
            if spec.name in sample:
                arrays[spec.name] = fitted(spec, sample[spec.name])
        others = {key: np.asarray(value) for key, value in sample.items() if key not in arrays}
        validate(arrays | others, inputs, most)
    except Misfit as error:
        raise CompositionError(f"{name!r}: the sample does not fit the inputs: {spec.name!r} is {spec.datatype}, "
                               f"but the sample holds {error}") from None  # fmt: skip
    except InvalidInput as error:
        raise CompositionError(f"{name!r}: the sample does not fit the inputs: {error}") from None
    return arrays


def _place(run_on: str, functions: Functions, outputs: Outputs, processes: int, name: str) -> Place:
    """The executor that `run_on` names.

    Raises:
        CompositionError: `run_on` is unknown, or the functions cannot run there.
    """
    if run_on == "loop":
        return OnLoop(functions, outputs)
    if run_on not in ("thread", "process"):
        raise CompositionError(f"{name!r}: run_on must be 'loop', 'thread' or 'process', not {run_on!r}")
    if functions.waits:
        raise CompositionError(f"{name!r}: async functions run on the event loop only; use run_on='loop'")
    if run_on == "thread":
        return OnThread(functions, outputs)
    from mlpatterns.models.python.process import OnProcesses

    return OnProcesses(functions, outputs, processes, name)
