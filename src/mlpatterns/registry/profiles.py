"""The profile of a model's training data, stored with the model as ``profile.json``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mlpatterns.analysis.profile import DataProfile
from mlpatterns.registry.files import ModelFiles
from mlpatterns.user_errors import ModelFileError

__all__ = ["PROFILE", "profile_file", "read_profile"]

PROFILE = "profile.json"


def profile_file(files: ModelFiles) -> Path:
    """The path of a model's profile, if it has one; ``model.profile.json`` for an unregistered ``model.onnx``."""
    if files.folder is not None:
        return files.folder / PROFILE
    return files.model.with_name(f"{files.model.stem}.{PROFILE}")


def read_profile(files: ModelFiles) -> DataProfile | None:
    """The profile of a model, or None if it has none.

    Raises:
        ModelFileError: the file cannot be read, or is not a profile.
    """
    path = profile_file(files)
    try:
        return msgspec.json.decode(path.read_bytes(), type=DataProfile)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelFileError(f"{files.name}: {PROFILE} is not a profile of this model; train it again") from error
