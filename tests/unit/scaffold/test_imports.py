"""Imports, read and written again."""

from __future__ import annotations

import ast

from mlpatterns.scaffold.imports import ImportedName, import_lines, imported


def again(text: str) -> str:
    return "\n".join(import_lines(imported(ast.parse(text).body)))


def test_what_is_in_order_stays_as_it_is() -> None:
    text = """from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from mlpatterns import MAXIMUM, Predictor, serve as offer

if TYPE_CHECKING:
    import httpx
    from numpy.typing import NDArray"""
    assert again(text) == text


def test_an_import_bound_by_its_package_alias_or_name() -> None:
    bound = [entry.bound for entry in imported(ast.parse("import os.path, numpy as np\nfrom a import b, c as d").body)]
    assert bound == ["os", "np", "b", "d"]


def test_a_line_that_would_be_too_long_is_broken() -> None:
    lines = import_lines([ImportedName("mlpatterns", f"Name{number:02}") for number in range(20)])
    assert lines[0] == "from mlpatterns import ("
    assert lines[-1] == ")"
    assert len(lines) == 22


def test_relative_imports_are_none_of_a_pattern() -> None:
    assert list(imported(ast.parse("from . import other").body)) == []
