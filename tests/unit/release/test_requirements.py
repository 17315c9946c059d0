"""What an app says it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlpatterns.release.requirements import requirements_of
from mlpatterns.user_errors import UserError


def app(folder: Path, text: str = "from mlpatterns import serve\n") -> Path:
    (folder / "app.py").write_text(text)
    return folder / "app.py"


def test_a_requirements_file_says_it_then_the_project_then_the_imports(tmp_path: Path) -> None:
    file = app(tmp_path)
    assert requirements_of(file) == ["mlpatterns>=0.2"]
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "a"\ndependencies = ["mlpatterns[image]", "attrs"]\n')
    assert requirements_of(file) == ["mlpatterns[image]", "attrs"]
    (tmp_path / "requirements.txt").write_text("attrs\n")
    assert requirements_of(file) == ["--requirement", str(tmp_path / "requirements.txt")]


def test_a_pyproject_of_tools_alone_says_nothing(tmp_path: Path) -> None:
    file = app(tmp_path, "import grpc\n")
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 120\n")
    assert requirements_of(file) == ["mlpatterns[grpc]>=0.2"]


def test_what_files_beside_it_import_counts_and_what_only_others_import_does_not(tmp_path: Path) -> None:
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "__init__.py").write_text("def draw():\n    from PIL import Image\n")
    (tmp_path / "other.py").write_text("import app, shapes\n")
    (tmp_path / "train.py").write_text("import sklearn\n")
    assert requirements_of(app(tmp_path, "import json, other\n")) == ["mlpatterns[image]>=0.2"]


def test_an_import_that_nothing_explains_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"imports nowhere, which mlpatterns does not install; write a requirements.txt"
    ):
        requirements_of(app(tmp_path, "import nowhere\n"))


@pytest.mark.parametrize("text", ["[project", "[project]\ndependencies = 3\n"])
def test_a_broken_pyproject_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UserError, match=r"pyproject.toml cannot be read"):
        requirements_of(app(tmp_path))


def test_a_name_of_mlpatterns_that_needs_an_extra_brings_it(tmp_path: Path) -> None:
    (need,) = requirements_of(app(tmp_path, "from mlpatterns import ImageDecoder, serve\n"))
    assert need.startswith("mlpatterns[image]")
