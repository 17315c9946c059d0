"""Where a project is made, and its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlpatterns.scaffold.names import empty_folder, normalized_name, project_name
from mlpatterns.user_errors import UserError


@pytest.mark.parametrize(
    ("folder", "name"),
    [("flowers", "flowers"), ("My_Flowers 2.0", "my-flowers-2-0"), ("a", "a"), ("x" * 64, "x" * 64)],
)
def test_a_project_is_called_like_its_folder_as_packages_are_called(folder: str, name: str) -> None:
    assert project_name(Path("/somewhere") / folder) == name


@pytest.mark.parametrize("folder", ["花", "-a", "a-", "a$b", "a'b", "x" * 65, ""])
def test_a_folder_whose_name_is_no_name_of_a_package_is_refused(folder: str) -> None:
    with pytest.raises(UserError, match="is not a valid one: use letters of ASCII, digits and dashes") as refused:
        project_name(Path("/somewhere") / folder if folder else Path("/"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("folder", ["mlpatterns", "NumPy", "onnx_runtime", "onnxruntime", "pytest"])
def test_what_the_project_needs_is_no_name_for_it(folder: str) -> None:
    if folder == "onnx_runtime":
        assert project_name(Path(folder)) == "onnx-runtime"
        return
    with pytest.raises(UserError, match="is a package that the project needs"):
        project_name(Path(folder))


@pytest.mark.parametrize(
    ("need", "name"),
    [("Pillow>=11; extra == 'image'", "pillow"), ("psycopg[binary] >=3.2", "psycopg"), ("Py_MySQL", "py-mysql")],
)
def test_the_name_in_a_requirement(need: str, name: str) -> None:
    assert normalized_name(need) == name


def test_a_new_folder_and_an_empty_one_are_right(tmp_path: Path) -> None:
    assert empty_folder(tmp_path / "new") == (tmp_path / "new").resolve()
    assert empty_folder(tmp_path) == tmp_path.resolve()


def test_a_folder_with_something_in_it_a_file_and_nowhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for path, said in (("full", "is not empty"), ("full/file", "is a file"), ("no/where", "there is no folder")):
        with pytest.raises(UserError, match=said):
            empty_folder(tmp_path / path)
