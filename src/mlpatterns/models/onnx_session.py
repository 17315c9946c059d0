"""From a model's files to a session of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlpatterns.errors import ModelFileError
from mlpatterns.onnx_format.zipmap import cut
from mlpatterns.registry.files import ModelFiles, checked, read
from mlpatterns.settings import cpus

__all__ = ["open_session"]

SMALL_BYTES = 1024 * 1024
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


def open_session(files: ModelFiles, what: str, providers: Sequence[str], threads: int | None, workers: int) -> Any:
    """An `InferenceSession` of a model. It blocks: call it in a thread.

    Args:
        what: how the user knows the model.
        providers: ONNX Runtime execution providers, best first.
        threads: ONNX Runtime's own; None: this worker's share of the CPUs.
        workers: how many processes share the CPUs.

    Raises:
        ModelFileError: ONNX Runtime cannot load it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _threads(files.model, workers)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A spinning pool would take the CPU that the event loop needs between two small calls.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = checked(files) if files.folder else read(files)
    source: str | bytes = cut(content)
    if source is content and files.folder is None:
        source = str(files.model)  # ONNX Runtime looks for its weights beside it
    else:  # what is loaded is what was checked
        options.add_session_config_entry(WEIGHTS_FOLDER, str(files.model.parent))
    try:
        return onnxruntime.InferenceSession(source, options, providers=list(providers))
    except Exception as error:
        raise ModelFileError(f"{what} is not a model that ONNX Runtime can load") from error


def _threads(model: Path, workers: int) -> int:
    """This worker's share of the CPUs; one for a model so small that waking a second thread would cost more."""
    size = sum(file.stat().st_size for file in model.parent.glob(f"{model.name}*"))  # with its external weights
    return 1 if size < SMALL_BYTES else max(1, cpus() // workers)
