"""The wheel of the running mlpatterns: whole, installable and the same each time."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import mlpatterns
from mlpatterns.release.wheel import pack

PACKAGE = Path(mlpatterns.__file__).parent


def test_it_holds_every_file_of_the_package_with_what_pip_reads(tmp_path: Path) -> None:
    with zipfile.ZipFile(pack(tmp_path)) as wheel:
        names = set(wheel.namelist())
        assert wheel.read("mlpatterns/predictor.py") == (PACKAGE / "predictor.py").read_bytes()
        record = wheel.read(f"mlpatterns-{mlpatterns.__version__}.dist-info/RECORD").decode()
    files = {f"mlpatterns/{path.relative_to(PACKAGE)}" for path in PACKAGE.rglob("*") if path.is_file()}
    assert {name for name in names if "dist-info" not in name} == {name for name in files if "__pycache__" not in name}
    described = {name.rpartition("/")[2] for name in names if "dist-info" in name}
    assert described == {"METADATA", "WHEEL", "entry_points.txt", "LICENSE", "RECORD"}
    assert {line.split(",")[0] for line in record.splitlines()} == names


def test_what_comes_and_goes_beside_the_source_is_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor's swap file in an editable checkout would make two images of one version differ."""
    package = tmp_path / "mlpatterns"
    for name in ("__init__.py", ".a.py.swp", ".cache/b.py", "a.pyc", "a.py~", "__pycache__/a.cpython-313.pyc"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("")
    monkeypatch.setattr("mlpatterns.release.wheel.PACKAGE", package)
    with zipfile.ZipFile(pack(tmp_path)) as wheel:
        assert [name for name in wheel.namelist() if "dist-info" not in name] == ["mlpatterns/__init__.py"]


def test_it_is_the_same_whenever_it_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert pack(tmp_path).read_bytes() == pack(tmp_path / "other").read_bytes()
