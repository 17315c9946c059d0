"""Which models of an app's folder stay out of its image."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlpatterns.release.unserved import remove_unserved
from weighted import weighted


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """It serves `one` and has `two`; both keep weights in files, and one file of weights is of both."""
    (tmp_path / "app.py").write_text("served = 'models/one.onnx'")
    models = tmp_path / "models"
    weighted(models / "one.onnx", 1.0, "both.bin")
    weighted(models / "two.onnx", 1.0, "both.bin")
    weighted(models / "old" / "three.onnx", 3.0, "three.bin")
    for name in ("one", "two", "old/three"):
        (models / f"{name}.metadata.json").write_text(
            '{"name": "x", "version": "1", "platform": "p", "inputs": [], "outputs": [], "primary_output": "y"}'
        )
        (models / f"{name}.golden.json").touch()
    (models / "labels.txt").touch()
    return tmp_path


def models(app: Path) -> set[str]:
    return {path.relative_to(app / "models").as_posix() for path in (app / "models").rglob("*") if path.is_file()}


SERVED = {"one.onnx", "one.metadata.json", "one.golden.json", "both.bin", "labels.txt"}


def test_what_is_not_served_goes_with_all_that_belongs_to_it_alone(app: Path) -> None:
    remove_unserved(app, [app / "models" / "one.onnx"])
    assert models(app) == SERVED


def test_a_damaged_model_goes_too(app: Path) -> None:
    (app / "models" / "old" / "three.bin").unlink()
    remove_unserved(app, [app / "models" / "one.onnx"])
    assert "old/three.onnx" not in models(app)


@pytest.mark.parametrize("code", ["load('two' + '.onnx')", "NAMES = ['one', 'two']"])
def test_a_model_that_code_names_stays(app: Path, code: str) -> None:
    (app / "own.py").write_text(code)
    remove_unserved(app, [app / "models" / "one.onnx"])
    assert models(app) == SERVED | {"two.onnx", "two.metadata.json", "two.golden.json"}


def test_all_stay_where_code_searches_folders(app: Path) -> None:
    before = models(app)
    (app / "own.py").write_text("Path('models').glob('*.onnx')")
    remove_unserved(app, [app / "models" / "one.onnx"])
    assert models(app) == before


def test_models_elsewhere_stay(app: Path) -> None:
    weighted(app / "data" / "four.onnx", 4.0)
    remove_unserved(app, [app / "models" / "one.onnx"])
    assert (app / "data" / "four.onnx").is_file()
