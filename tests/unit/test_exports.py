"""The public API: whole, importable, and free until it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

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


def seen_by_type_checkers(module: ModuleType) -> set[str]:
    """The names that the first `if TYPE_CHECKING:` of a module hands on, by PEP 484: imported as themselves, assigned,
    or imported with a star, which stands for the pieces."""
    tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
    seen: set[str] = set()
    for node in next(node for node in tree.body if isinstance(node, ast.If)).body:
        if isinstance(node, ast.ImportFrom):
            seen.update(name.name for name in node.names if name.name == name.asname)
        else:
            assert isinstance(node, ast.Assign)
            seen.update(name.id for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name))
    return seen


def test_what_type_checkers_see_is_what_can_be_imported() -> None:
    assert seen_by_type_checkers(mlpatterns.pieces) == set(mlpatterns.pieces.__all__)
    assert seen_by_type_checkers(mlpatterns) | {"__version__", *mlpatterns.pieces.__all__} == set(mlpatterns.__all__)


def test_every_error_is_public() -> None:
    from mlpatterns import errors

    assert set(errors.__all__) - set(mlpatterns.__all__) == {"error_for"}


def test_a_name_is_the_same_object_wherever_it_is_imported_from() -> None:
    from mlpatterns.models.onnx import OnnxModel

    assert mlpatterns.OnnxModel is OnnxModel


def test_what_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        mlpatterns.Nonsense  # noqa: B018


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
