"""Fills templates: files of a project with placeholders `%%name` or `%%{name}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

__all__ = ["fill_template", "makefile_value", "render"]

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX, HIDDEN = ".in", "dot-"  # packaging tools would treat `.gitignore` as their own file
OTHERS = {"Dockerfile.in"}  # containerfile.py fills it


class _Template(Template):
    delimiter = "%%"  # Makefile, shell and Python use `$` and braces themselves


def render(folder: Path, values: Mapping[str, str], tests: Sequence[str]) -> None:
    """Writes the files of a project into `folder`.

    Args:
        values: the values of the placeholders; they must be validated, because they are inserted without escaping.
        tests: the parts of the project's tests, by the names of their templates.
    """
    for template in sorted({entry.name for entry in TEMPLATES.glob(f"*{SUFFIX}")} - OTHERS):
        name = template.removesuffix(SUFFIX).replace(HIDDEN, ".")
        (folder / name).write_text(fill_template(template, values), encoding="utf-8")
    own = folder / "tests"
    own.mkdir()
    (own / "conftest.py").write_text(fill_template(f"tests/conftest{SUFFIX}", values), encoding="utf-8")
    parts = [fill_template(f"tests/{part}{SUFFIX}", values) for part in tests]
    (own / "test_app.py").write_text("\n\n".join(parts), encoding="utf-8")


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """The filled text of a template; `template` is its path below the folder of templates."""
    return _Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(values)


def makefile_value(text: str) -> str:
    """`text`, escaped as the value of a Makefile variable that recipes put between single quotes."""
    return text.replace("$", "$$").replace("#", "\\#").replace("'", "'\\''")
