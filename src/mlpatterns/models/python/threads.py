"""Divides the CPUs among the child processes of a PythonModel by limiting the threads of each, unless the user does."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

__all__ = ["share_onnxruntime", "sharing"]

# OpenMP (torch, scikit-learn, LightGBM, XGBoost), the BLAS libraries and numexpr read these variables when loaded.
VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)  # fmt: skip
_changing = threading.Lock()


@contextmanager
def sharing(threads: int) -> Iterator[None]:
    """In child processes that start inside this context, each library uses `threads` threads. A variable that the user
    has set is not changed. If the user has set OMP_NUM_THREADS, no variable is set: the libraries use that one."""
    with _changing:
        said = VARIABLES if "OMP_NUM_THREADS" not in os.environ else ()
        ours = [name for name in said if name not in os.environ]
        os.environ.update(dict.fromkeys(ours, str(threads)))
        try:
            yield
        finally:
            for name in ours:
                os.environ.pop(name, None)


def share_onnxruntime(threads: int) -> None:
    """From now on, sessions of ONNX Runtime in this process use `threads` threads unless their options set a number, or
    the number in OMP_NUM_THREADS. ONNX Runtime itself reads no environment variable and would use all CPUs. This
    function does not import ONNX Runtime."""
    if "OMP_NUM_THREADS" in os.environ:  # set by the user or by `sharing`
        said = os.environ["OMP_NUM_THREADS"].partition(",")[0]
        threads = int(said) if said.isdigit() and int(said) else threads
    loaded = sys.modules.get("onnxruntime")
    if loaded is not None:
        _bound(loaded, threads)
    else:
        sys.meta_path.insert(0, _OnImport(threads))


def _bound(module: ModuleType, threads: int) -> None:
    session = module.InferenceSession
    begin = session.__init__

    def bounded(self: Any, path_or_bytes: Any, sess_options: Any = None, *rest: Any, **more: Any) -> None:
        options = sess_options if sess_options is not None else module.SessionOptions()
        if options.intra_op_num_threads == 0:  # otherwise ONNX Runtime chooses the number
            options.intra_op_num_threads = threads
        begin(self, path_or_bytes, options, *rest, **more)

    session.__init__ = bounded


class _OnImport(importlib.abc.MetaPathFinder):
    """Limits the threads of ONNX Runtime when it is imported."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "onnxruntime":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module  # wrapped below, because a caller may look up the spec without importing it

            def exec_module(module: ModuleType) -> None:
                sys.meta_path.remove(self)
                run(module)
                _bound(module, self._threads)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
