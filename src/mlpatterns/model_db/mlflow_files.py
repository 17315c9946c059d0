"""Reads the files of a model in MLflow one by one. It unpickles nothing, and writes only to its own folder."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath

from mlpatterns.model_db.mlflow_model import LARGEST, MLMODEL, MlflowModel, plain_path, read_mlmodel
from mlpatterns.model_db.mlflow_server import MlflowServer
from mlpatterns.model_db.onnx_weights import embed_weights
from mlpatterns.user_errors import ModelFileError

__all__ = ["MlflowFiles"]

MOST = 2**31 - 1  # bytes: the limit of a protobuf message, so of a model in one file


class MlflowFiles:
    """The files of a version in an MLflow registry.

    Args:
        server: the server that has the version.
        root: the URI of the model's folder, as the server reports it.
        folder: an empty local folder for the files.
    """

    def __init__(self, server: MlflowServer, root: str, folder: Path) -> None:
        self._server, self._root, self._folder = server, root, folder
        self._left = MOST

    @cached_property
    def model(self) -> MlflowModel:
        """The content of the file MLmodel.

        Raises:
            ModelFileError: the file is missing or invalid, or names no ONNX model.
        """
        return read_mlmodel(self._read(MLMODEL, LARGEST))

    def whole(self) -> Path:
        """The path of the ONNX model as one file, with the weights that MLflow may have in other files.

        Raises:
            ModelFileError: a file is missing, damaged or too large.
            MlflowError: the server does not answer.
        """
        above = PurePosixPath(self.model.data).parent
        weights: dict[str, bytes] = {}

        def beside(name: str) -> bytes:
            if name not in weights:
                weights[name] = self._read(str(above / plain_path(name)), self._left)
            return weights[name]

        content = embed_weights(self._read(self.model.data, self._left), beside)
        path = self._folder / "whole.onnx"
        path.write_bytes(content)
        return path

    def _read(self, path: str, most: int) -> bytes:
        """The content of a file. All files together may have `MOST` bytes.

        Args:
            path: relative to the model's folder.
            most: the maximum size of this file in bytes.
        """
        self._check_size(path, most)
        target = self._folder / f"{len(list(self._folder.iterdir()))}"
        target.mkdir()
        made = self._server.download(self._root, path, target)
        if not made.resolve().is_relative_to(target.resolve()) or not made.is_file() or made.stat().st_size > most:
            raise ModelFileError(f"the file {path} that the MLflow server sent is not the one that it listed")
        content = made.read_bytes()
        made.unlink()
        self._left -= len(content)
        return content

    def _check_size(self, path: str, most: int) -> None:
        above = str(PurePosixPath(path).parent)
        listed = self._server.artifacts(self._root, None if above == "." else above)
        found = next((each for each in listed if each.path == path and not each.is_dir), None)
        if found is None:
            raise ModelFileError(f"the model has no file {path} in MLflow")
        if (found.bytes or 0) > most:
            raise ModelFileError(f"{path} is too large: {found.bytes} bytes of at most {most}")
