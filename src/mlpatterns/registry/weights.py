"""Reads and checks a model's files of external weights, which the loader copies from one folder to another.

The ONNX file contains the names of these files, so they cannot be renamed. If two models have files of weights with the
same name but different bytes, the models cannot be in one folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from mlpatterns.onnx_format.weights import external_files_of
from mlpatterns.registry.digests import digest, reading_file
from mlpatterns.registry.files import ModelFiles
from mlpatterns.user_errors import ModelFileError, UserError

__all__ = ["check_no_conflict", "check_weight_names", "weight_contents", "weight_names"]

OURS = (".onnx", ".json")  # suffixes of the other files in the folder, which weights must not overwrite


def weight_contents(files: ModelFiles) -> dict[str, bytes]:
    """The content of each file of weights by its name, checked against its digest.

    Raises:
        ModelFileError: a file cannot be read, or has changed since its digest was computed.
    """
    contents = {}
    for name, sha256 in files.weights.items():
        path = files.model.parent / name
        with reading_file(path):
            contents[name] = path.read_bytes()
        if hashlib.sha256(contents[name]).hexdigest() != sha256:
            raise ModelFileError(f"{files.name}: {name} was changed while it was read; try again")
    return contents


def check_weight_names(what: str, names: Collection[str]) -> None:
    """Checks that no file of weights has a suffix that is reserved for other files of a model.

    Raises:
        ModelFileError: a name ends with ``.onnx`` or ``.json``.
    """
    for name in names:
        if name.lower().endswith(OURS):
            raise ModelFileError(f"{what} keeps weights in {name}; export it with a name for them that does not end "
                                 f"with {' or '.join(OURS)}")  # fmt: skip


def check_no_conflict(model: Path, weights: Mapping[str, str]) -> None:
    """Checks that a model's weights can be written into a folder without overwriting the files of other models.

    Args:
        model: the path to which the model will be written; an existing file there will be replaced.
        weights: the SHA-256 of each file of weights, by its name.

    Raises:
        UserError: another file in the folder has the same name but different bytes.
    """
    own = weight_names(model)
    others = {name: each for each in model.parent.glob("*.onnx") if each != model for name in weight_names(each)}
    for name, sha256 in weights.items():
        path = model.parent / name
        if path.exists() and (name in others or name not in own) and not (path.is_file() and digest(path) == sha256):
            whose = f"for {others[name].name}" if name in others else "for something else"
            raise UserError(f"{model.stem} keeps weights in {name}, which {model.parent} has already {whose}; give "
                            f"{model.stem} a folder of its own, or export it with another name for them")  # fmt: skip


def weight_names(model: Path) -> tuple[str, ...]:
    """The files of weights that an ONNX file names; empty if the file does not exist or is damaged."""
    try:
        return external_files_of(model)
    except (OSError, ModelFileError):
        return ()
