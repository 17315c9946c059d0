"""Files with arrays and a few plain values: the checkpoints from which a training resumes, and its final weights.

The format is ``.npz`` of numpy, without pickled objects. Files are written atomically.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mlpatterns.durable import write_whole
from mlpatterns.metadata import Array
from mlpatterns.user_errors import UserError

__all__ = ["read_arrays", "write_arrays"]

STATE = "__state__"


def write_arrays(path: Path, arrays: Mapping[str, Array], state: Mapping[str, Any]) -> None:
    """Writes arrays by name, and `state`, which must be valid as JSON. Equal contents give equal bytes."""
    content = io.BytesIO()
    encoded = np.frombuffer(msgspec.json.encode(state, order="sorted"), np.uint8)
    named: dict[str, Any] = {STATE: encoded, **arrays}
    np.savez(content, **named)
    write_whole(path, content.getvalue())


def read_arrays(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Reads a file that `write_arrays` wrote: the arrays by name, and the state.

    Raises:
        UserError: the file is damaged.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        state = msgspec.json.decode(arrays.pop(STATE).tobytes(), type=dict[str, Any])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
        raise UserError(f"{path} is damaged; delete it, and the training begins anew") from error
    return arrays, state
