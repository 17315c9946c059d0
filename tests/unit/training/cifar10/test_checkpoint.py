"""Arrays in a file: the same bytes for the same contents, and nothing that runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlpatterns.training.cifar10.checkpoint import STATE, read_arrays, write_arrays
from mlpatterns.user_errors import UserError

ARRAYS: dict[str, np.ndarray] = {"network/0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
                                "count": np.array(7, np.int64)}  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_arrays(tmp_path / "file", ARRAYS, {"epoch": 3, "loss": 0.5})
    arrays, state = read_arrays(tmp_path / "file")
    assert state == {"epoch": 3, "loss": 0.5}
    assert arrays.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        assert np.array_equal(arrays[name], value)
        assert arrays[name].dtype == value.dtype


def test_equal_contents_give_equal_bytes(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a", ARRAYS, {"x": 1, "y": 2})
    write_arrays(tmp_path / "b", ARRAYS, {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("damage", [b"", b"nonsense", None], ids=["empty", "nonsense", "cut off"])
def test_a_damaged_file_is_said_so(damage: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_arrays(path, ARRAYS, {})
    path.write_bytes(path.read_bytes()[:-30] if damage is None else damage)
    with pytest.raises(UserError, match="is damaged; delete it, and the training begins anew"):
        read_arrays(path)


def test_an_array_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        np.savez(file, **{STATE: np.frombuffer(b"{}", np.uint8), "object": np.array([print], dtype=object)})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is damaged"):
        read_arrays(tmp_path / "file")
