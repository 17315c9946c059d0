"""The public API: whole, importable, and free until it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mlpatterns
import mlpatterns.pieces

HEAVY = (
    "numpy",
    "onnxruntime",
    "sqlalchemy",
    "sklearn",
    "torch",
    "fastapi",
    "starlette",
    "uvicorn",
    "msgspec",
    "typer",
)


@pytest.mark.parametrize("name", mlpatterns.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(mlpatterns, name) is not None


def test_the_list_of_names_is_sorted_and_has_each_once() -> None:
    assert list(mlpatterns.__all__) == sorted(set(mlpatterns.__all__))


def seen_by_type_checkers() -> set[str]:
    """The names that the stub hands on, by PEP 484: imported as themselves, declared, or assigned."""
    seen: set[str] = set()
    for node in ast.parse(Path(mlpatterns.__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body:
        match node:
            case ast.ImportFrom():
                seen.update(name.name for name in node.names if name.name == name.asname)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                seen.add(name)
    return seen


def test_what_type_checkers_see_is_what_can_be_imported() -> None:
    assert seen_by_type_checkers() - {"__all__"} == set(mlpatterns.__all__)


def test_every_piece_is_public() -> None:
    assert {each.name for each in mlpatterns.pieces.all_pieces()} <= set(mlpatterns.__all__)


def test_every_error_is_public() -> None:
    from mlpatterns import errors, user_errors

    assert {*errors.__all__, *user_errors.__all__} - set(mlpatterns.__all__) == {"error_for"}


def test_a_name_is_the_same_object_wherever_it_is_imported_from() -> None:
    from mlpatterns.models.onnx.onnx import OnnxModel

    assert mlpatterns.OnnxModel is OnnxModel


def test_what_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        mlpatterns.Nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_completion_offers_the_public_names() -> None:
    assert set(mlpatterns.__all__) <= set(dir(mlpatterns))


@pytest.mark.parametrize("statement", ["import mlpatterns", "import mlpatterns.cli"])
def test_importing_it_loads_nothing_heavy(statement: str) -> None:
    code = f"import sys; {statement}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    allowed = {"import mlpatterns": set(), "import mlpatterns.cli": {"msgspec", "typer"}}[statement]
    assert set(ast.literal_eval(done.stdout)) == allowed


def test_the_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert mlpatterns.__version__ == version("mlpatterns")
