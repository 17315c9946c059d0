"""From a model's files to a session of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlpatterns.errors import ModelFileError, SettingsError
from mlpatterns.models.onnx_options import QUIET, Running, apply, provider_names
from mlpatterns.models.onnx_refusals import refused
from mlpatterns.registry.files import ModelFiles, checked
from mlpatterns.settings import cpus

__all__ = ["open_session"]

SMALL_BYTES = 1024 * 1024


def open_session(files: ModelFiles, what: str, running: Running, workers: int) -> Any:
    """An `InferenceSession` of a model. It blocks: call it in a thread.

    Args:
        what: how the user knows the model.
        workers: how many processes share the CPUs.

    Raises:
        ModelFileError: ONNX Runtime cannot load it, or a library of its operators.
        SettingsError: what was said of how to run it cannot be.
    """
    from onnxruntime import InferenceSession

    names = provider_names(running.providers)
    options = _options(files, running, workers)
    try:
        session = InferenceSession(_source(files), options, providers=names, enable_fallback=0)
    except Exception as error:
        raise refused(what, files, error) from error
    if session.get_providers()[0] != names[0]:
        raise SettingsError(f"the provider {names[0]} cannot be used on this machine: its driver or its libraries are "
                            "missing or of another version; mend that, or ask for another provider")  # fmt: skip
    if not (session.get_inputs() and session.get_outputs()):
        raise ModelFileError(f"{what} has no input or no output, so there is nothing to ask it")
    return session


def _options(files: ModelFiles, running: Running, workers: int) -> Any:
    from onnxruntime import SessionOptions, set_default_logger_severity

    options = SessionOptions()
    options.intra_op_num_threads = running.threads or _threads(files, workers)
    options.inter_op_num_threads = 1
    options.log_severity_level = QUIET
    # A spinning pool would take the CPU that the event loop needs between two small calls.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    apply(running, options)
    set_default_logger_severity(min(QUIET, options.log_severity_level))
    return options


def _source(files: ModelFiles) -> str | bytes:
    """What is loaded is what was checked: the bytes of a registered model are held against its digest and loaded.

    With weights in other files, which ONNX Runtime reads by itself, there is a moment between their check (when they
    were located) and their load. Only who can write to this machine's artifacts could use it.
    """
    if files.folder is None:
        return str(files.model)
    content = checked(files)
    return str(files.model) if files.weights else content


def _threads(files: ModelFiles, workers: int) -> int:
    """This worker's share of the CPUs; one for a model so small that waking a second thread would cost more."""
    every: list[Path] = [files.model, *(files.model.parent / name for name in files.weights)]
    size = sum(file.stat().st_size for file in every)
    return 1 if size < SMALL_BYTES else max(1, cpus() // workers)
