"""Runs code of a PythonModel that holds the GIL in child processes. Each child has its own copy of the model."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from msgspec import Struct

from mlpatterns.errors import DeadlineExceeded, ErrorCode, PredictionError, Unavailable, error_for
from mlpatterns.metadata import Array
from mlpatterns.models.python.functions import Functions
from mlpatterns.models.python.outputs import Outputs
from mlpatterns.models.python.places import ErrorInChild
from mlpatterns.models.python.threads import share_onnxruntime, sharing
from mlpatterns.predictor import Runtime
from mlpatterns.runtime import finished
from mlpatterns.settings import cpus
from mlpatterns.tensors import read_only
from mlpatterns.user_code import text_for_client, user_exc_info
from mlpatterns.user_errors import CompositionError, ModelFileError

__all__ = ["OnProcesses"]

log = logging.getLogger("mlpatterns")

RETRY_AFTER = 1.0  # seconds, about as long as a new child takes to load a small model


class ChildFailure(Struct, frozen=True):
    """An error in a child process, as texts, because an exception of user code may not be picklable."""

    summary: str
    trace: str
    code: ErrorCode | None = None
    retry_after: float | None = None
    client_text: str = "the model failed"


class OnProcesses:
    """Child processes that each run one call at a time. If all are busy, further calls wait in order of arrival.

    A running call in a child cannot be stopped, so the child of a cancelled caller stays busy until the call ends. Each
    child has its own ProcessPoolExecutor, because a process that dies breaks its pool.
    """

    def __init__(self, functions: Functions, outputs: Outputs, processes: int, name: str) -> None:
        if type(processes) is not int or processes < 1:
            raise CompositionError(f"{name!r}: processes must be a whole number, at least 1, not {processes!r}")
        for function in functions.all:
            _check_importable(function, name)
        self._model, self._count, self._name = (functions, outputs), processes, name
        self._children: list[Child] = []

    async def open(self, runtime: Runtime) -> None:
        self._runtime = runtime
        threads = max(1, cpus() // (runtime.settings.workers * self._count))
        self._children = [Child(self._model, self._name, threads) for _ in range(self._count)]
        self._idle: asyncio.Queue[Child] = asyncio.Queue()
        failures = await asyncio.gather(*(child.ready() for child in self._children), return_exceptions=True)
        for failure in failures:
            if failure is not None:
                raise failure
        for child in self._children:
            self._idle.put_nowait(child)

    async def close(self) -> None:
        children, self._children = self._children, []
        await asyncio.gather(*(self._runtime.offload(child.end) for child in children))

    async def call(
        self, inputs: Mapping[str, Array], parameters: Mapping[str, Any], deadline: float | None
    ) -> dict[str, Array]:
        child = await self._idle.get()
        try:
            if deadline is not None and self._runtime.clock.monotonic() >= deadline:
                raise DeadlineExceeded
            return await child.call(inputs, parameters)
        finally:
            self._idle.put_nowait(child)


class Child:
    """One child process, which is replaced when it dies."""

    def __init__(self, model: tuple[Functions, Outputs], name: str, threads: int) -> None:
        self._model, self._name, self._threads = model, name, threads
        self._pool = self._new_pool()

    async def ready(self) -> None:
        """Waits until the child has loaded its model.

        Raises:
            ModelFileError: the child could not load the model, or died.
        """
        try:
            failure = await self._run(_loaded)
        except BrokenProcessPool as error:
            raise ModelFileError(f"the model {self._name!r} did not load: its process died") from error
        if failure is not None:
            log.error("the model %r did not load\n%s", self._name, failure.trace)
            raise ModelFileError(f"the model {self._name!r} did not load: {failure.summary}")

    async def call(self, inputs: Mapping[str, Array], parameters: Mapping[str, Any]) -> dict[str, Array]:
        try:
            answer: dict[str, Array] | ChildFailure = await self._run(_answer, dict(inputs), dict(parameters))
        except BrokenProcessPool as error:
            self._renew()
            raise Unavailable("the process that worked on this request died", retry_after=RETRY_AFTER) from error
        if isinstance(answer, ChildFailure):
            raise _raised(answer)
        return answer

    def end(self) -> None:
        self._pool.shutdown(wait=True)

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await finished(self._submit(function, *arguments))

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        try:
            return self._pool.submit(function, *arguments)
        except BrokenProcessPool:  # the child died while it was idle, so the caller need not get an error
            self._renew()
            return self._pool.submit(function, *arguments)

    def _renew(self) -> None:
        log.error("a process of the model %r died; a new one takes its place", self._name)
        self._pool.shutdown(wait=False)
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
        arguments = (*self._model, self._threads)
        pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=arguments)
        with sharing(self._threads):
            pool.submit(_loaded)  # starts the child now, with this environment, which BLAS reads at import
        return pool


def _raised(failure: ChildFailure) -> Exception:
    """The exception for the failure that a child reported. If the model's code failed, it has the child's traceback."""
    if failure.code is not None:
        return error_for(failure.code, failure.summary, retry_after=failure.retry_after)
    return ErrorInChild(failure.client_text, failure.trace)


def _check_importable(function: Callable[..., Any], name: str) -> None:
    try:
        pickle.dumps(function)
    except Exception as error:
        shown = getattr(function, "__qualname__", repr(function))
        raise CompositionError(
            f"{name!r}: run_on='process' needs functions that another process can import, and {shown} is not one: "
            "define it at the top level of a module"
        ) from error


# ---- in the child -------------------------------------------------------------------------------------------------

_child: dict[str, Any] = {}


def _begin(functions: Functions, outputs: Outputs, threads: int) -> None:
    """Loads the model. An error is stored and reported by `_loaded`: if it were raised, it would break the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    threading.Thread(target=_end_with_parent, daemon=True).start()
    share_onnxruntime(threads)
    _child.update(functions=functions, outputs=outputs, failure=None)
    try:
        _child["state"] = functions.load()
    except BaseException as error:  # if it ended this process, the parent would not learn the reason
        _child["failure"] = _in_words(error)


def _end_with_parent() -> None:
    """Ends this process when its parent ends: a killed parent cannot stop its children."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _loaded() -> ChildFailure | None:
    failure: ChildFailure | None = _child["failure"]
    return failure


def _answer(inputs: dict[str, Array], parameters: dict[str, Any]) -> Any:
    if _child["failure"] is not None:
        return _child["failure"]
    inputs = {name: read_only(value) for name, value in inputs.items()}  # pickling loses this flag
    try:
        answer = _child["functions"].predict(_child["state"], inputs, parameters)
        return _child["outputs"].checked(answer, inputs)
    except BaseException as error:  # as in `_begin`
        return _in_words(error)


def _in_words(error: BaseException) -> ChildFailure:
    trace = "".join(traceback.format_exception(*user_exc_info(error)))
    said = text_for_client(error, "the model failed")
    if isinstance(error, PredictionError):
        return ChildFailure(error.message, trace, error.code, error.retry_after)
    return ChildFailure(" ".join(f"{type(error).__name__}: {error}".split()), trace, client_text=said)
