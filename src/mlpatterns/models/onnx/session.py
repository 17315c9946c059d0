"""Opens a session of ONNX Runtime for the files of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlpatterns.models.onnx.options import QUIET, SessionConfig, apply, provider_names
from mlpatterns.models.onnx.refusals import load_error
from mlpatterns.onnx_format.zipmap import cut
from mlpatterns.registry.files import ModelFiles, checked_content
from mlpatterns.registry.weights import weight_contents
from mlpatterns.settings import cpus
from mlpatterns.user_errors import ModelFileError, SettingsError

__all__ = ["open_session"]

SMALL_BYTES = 1024 * 1024
MOST_IN_MEMORY = 2**31  # bytes of a tensor in memory; protobuf has the same limit
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


def open_session(files: ModelFiles, what: str, running: SessionConfig, workers: int) -> Any:
    """An `InferenceSession` of a model. This blocks: call it in a thread.

    Args:
        what: the user's name for the model, for error texts.
        workers: the number of processes that share the CPUs.

    Raises:
        ModelFileError: ONNX Runtime cannot load the model, or a custom operator library.
        SettingsError: the configuration cannot be used on this machine.
    """
    from onnxruntime import InferenceSession

    names = provider_names(running.providers)
    options = _options(files, running, workers)
    weights, source = _give_weights(files, options), _source(files, options)
    try:
        session = InferenceSession(source, options, providers=names, enable_fallback=0)
    except Exception as error:
        raise load_error(what, files, error) from error
    del weights  # ONNX Runtime has copied them
    if session.get_providers()[0] != names[0]:
        raise SettingsError(f"the provider {names[0]} cannot be used on this machine: its driver or its libraries are "
                            "missing or of another version; fix that, or choose another provider")  # fmt: skip
    if not (session.get_inputs() and session.get_outputs()):
        raise ModelFileError(f"{what} has no input or no output, so it cannot predict")
    return session


def _options(files: ModelFiles, running: SessionConfig, workers: int) -> Any:
    from onnxruntime import SessionOptions, set_default_logger_severity

    options = SessionOptions()
    options.intra_op_num_threads = running.threads or _threads(files, workers)
    options.inter_op_num_threads = 1
    options.log_severity_level = QUIET
    # Spinning threads would use CPU time that the event loop needs between two small calls.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    apply(running, options)
    set_default_logger_severity(min(QUIET, options.log_severity_level))
    return options


def _give_weights(files: ModelFiles, options: Any) -> Mapping[str, bytes]:
    """Gives ONNX Runtime the external weights from memory, so that it uses the bytes that were checked. Otherwise ONNX
    Runtime would memory-map the files, and a write to such a file would change the answers of a running model.

    ONNX Runtime still memory-maps some weights: those in a model with a file of 2 GiB or more, those of subgraphs, and
    all weights in versions whose Python API has no function for this. Such a file may also change between check and
    load.

    Returns:
        The weights by file name, which must stay in memory until the session is created.
    """
    give = getattr(options, "add_external_initializers_from_files_in_memory", None)
    large = any((files.model.parent / name).stat().st_size >= MOST_IN_MEMORY for name in files.weights)
    if not files.weights or give is None or large:
        return {}
    found = weight_contents(files)
    give(list(found), list(found.values()), [len(content) for content in found.values()])
    return found


def _source(files: ModelFiles, options: Any) -> str | bytes:
    """What ONNX Runtime loads: the bytes that were checked against the digest, without their ZipMaps; or the path, if
    no ZipMap was removed and the model is not registered or has external weights."""
    content = checked_content(files)
    source = cut(content)
    if source is content and (files.weights or files.folder is None):
        return str(files.model)
    if files.weights:
        options.add_session_config_entry(WEIGHTS_FOLDER, str(files.model.parent))
    return source


def _threads(files: ModelFiles, workers: int) -> int:
    """The number of threads: this worker's share of the CPUs. It is one for a small model, because waking a second
    thread would cost more than it saves."""
    every: list[Path] = [files.model, *(files.model.parent / name for name in files.weights)]
    size = sum(file.stat().st_size for file in every)
    return 1 if size < SMALL_BYTES else max(1, cpus() // workers)
