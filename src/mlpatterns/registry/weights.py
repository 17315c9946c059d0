"""Copying the files of weights of a model from one folder to another.

The ONNX file holds their names, so they cannot be renamed: two models whose files of weights have the same name and
other bytes cannot lie in one folder.
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

OURS = (".onnx", ".json")  # suffixes of the files that lie beside a model's weights


def weight_contents(files: ModelFiles) -> dict[str, bytes]:
    """The content of each file of weights by its name, checked against its digest.

    Raises:
        ModelFileError: one cannot be read, or was changed since it was found.
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
    """Checks that no file of weights has the name of another file of a model.

    Raises:
        ModelFileError: one has.
    """
    for name in names:
        if name.lower().endswith(OURS):
            raise ModelFileError(f"{what} keeps weights in {name}; export it with a name for them that does not end "
                                 f"with {' or '.join(OURS)}")  # fmt: skip


def check_no_conflict(model: Path, weights: Mapping[str, str]) -> None:
    """Checks that a model and its weights can be written into a folder without overwriting others.

    Args:
        model: what its file will be called; one of that name is about to be replaced.
        weights: the SHA-256 of each file of weights, by its name.

    Raises:
        UserError: a file of another model has the same name and other bytes.
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
    """The files of weights that an ONNX file names; none if there is no such file, or if it is damaged."""
    try:
        return external_files_of(model)
    except (OSError, ModelFileError):
        return ()
