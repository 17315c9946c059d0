"""The app of a project: the composition of a pattern, extracted from the pattern's file.

`build`, `app` and the statements that they need are copied unchanged, so that no second copy of a pattern is kept. The
header, the demo, and statements that only the demo needs are left out. Where the pattern names a registered model, the
project names a file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate

from msgspec import Struct

from mlpatterns.references import is_file
from mlpatterns.scaffold.imports import ImportedName, import_lines, imported
from mlpatterns.scaffold.statements import names_used, needed_statements, segments

__all__ = ["MODELS", "AppSource", "app_source", "with_files"]

MODELS = "models"  # the folder of a project's models
ROOTS = ("build", "app")
LEAF, CHOSEN = "OnnxModel", "chosen_model"
READERS = ("GoldenImages", "GoldenRows", "ImageDecoder")  # pieces that read files of a model, by the same reference
FOLDERS = ("HERE", "PROJECT", "APP_FOLDER")  # names for the project's folder, the first that the pattern does not use
SERVED = '"""What is served, made of the files in models/."""'


class AppSource(Struct, frozen=True):
    """The text of an app, and the top-level names of the modules that it imports."""

    text: str
    modules: frozenset[str]


def app_source(pattern: str, docstring: str, *, chosen: str | None = None) -> AppSource:
    """The source of an app from that of a pattern.

    Args:
        docstring: the docstring of the app; plain text without quotes or backslashes.
        chosen: the name, without suffix, of the file that replaces the pattern's model.
    """
    folder = next(name for name in FOLDERS if name not in pattern)
    text = _with_files(pattern, folder, chosen)
    tree = ast.parse(text)
    kept = needed_statements(tree.body, ROOTS)
    used = set().union(*map(names_used, kept)) | {"Path"}
    found = [*imported(tree.body), ImportedName("__future__", "annotations"), ImportedName("pathlib", "Path")]
    if LEAF in used:
        found.append(ImportedName("mlpatterns", LEAF))
    wanted = [entry for entry in found if entry.bound in used or entry.module == "__future__"]
    head = [f'"""{docstring}"""', "", *import_lines(wanted), "", f"{folder} = Path(__file__).parent"]
    lines = [*head, *segments(text, kept)]
    inner = [entry.needed for statement in kept for entry in imported(ast.walk(statement))]
    modules = {"mlpatterns", *inner, *(entry.needed for entry in wanted if not entry.typing)}
    return AppSource("\n".join(lines) + "\n", frozenset(modules))


# ---- files instead of registered models ----------------------------------------------------------------------------


def with_files(text: str) -> str:
    """The complete source of a user's own app, in which files in MODELS replace registered models."""
    folder = next(name for name in FOLDERS if name not in text)
    body = ast.parse(text).body
    docstring = bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    futures = [node for node in body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    head = futures[-1].end_lineno if futures else body[0].end_lineno if docstring else 0
    edited = _with_files(text, folder, None).splitlines()
    own = ["from pathlib import Path", f"from mlpatterns import {LEAF}", f"{folder} = Path(__file__).parent"]
    return "\n".join([*edited[:head], *own, *edited[head:]]) + "\n"


def _model_calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """The calls whose first argument names a model, each with the name of the called function."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=called), args=[_, *_]) if called in (LEAF, CHOSEN):
                yield called, node
            case ast.Call(func=ast.Name(id=called), args=[ast.Constant() | ast.JoinedStr(), *_]) if called in READERS:
                yield called, node


def _chooses(tree: ast.AST) -> bool:
    return any(called == CHOSEN for called, _ in _model_calls(tree))


def _with_files(pattern: str, folder: str, chosen: str | None) -> str:
    tree = ast.parse(pattern)
    edits: list[tuple[ast.expr | ast.stmt, str]] = []
    for called, call in _model_calls(tree):
        name = ast.Constant(chosen) if called == CHOSEN and chosen else call.args[0]
        if called in READERS:
            edits += [] if _is_file(name) else [(name, _path(name, folder))]
        elif not _is_file(name):
            edits += [(call.func, LEAF), (call.args[0], _path(name, folder) + _served_as(name, call))]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and _chooses(node):
            edits.append((node.body[0], SERVED))  # the docstring describes a registry, which the project lacks
    return _edited(pattern, edits)


def _is_file(name: ast.expr) -> bool:
    """Whether the expression names a file; the values in an f-string may be anything."""
    parts = name.values if isinstance(name, ast.JoinedStr) else [name]
    return is_file("".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in parts))


def _served_as(name: ast.expr, call: ast.Call) -> str:
    """An argument that preserves the served name: otherwise the file of a version would be served as ``NAME:3``."""
    text = name.value if isinstance(name, ast.Constant) else ""
    own = re.split("[@:]", str(text))[0]
    return "" if own == text or any(word.arg == "name" for word in call.keywords) or not own else f', name="{own}"'


def _path(name: ast.expr, folder: str) -> str:
    """The expression for the file of the model that the expression `name` names."""
    if isinstance(name, ast.Constant):
        inner: list[ast.expr] = [ast.Constant(f"/{MODELS}/{name.value!s}.onnx")]
    else:
        parts = name.values if isinstance(name, ast.JoinedStr) else [ast.FormattedValue(name, -1)]
        inner = [ast.Constant(f"/{MODELS}/"), *parts, ast.Constant(".onnx")]
    text = ast.unparse(ast.JoinedStr([ast.Constant("file:"), ast.FormattedValue(ast.Name(folder), -1), *inner]))
    return text if '"' in text else f'f"{text[2:-1]}"'


def _edited(text: str, edits: Sequence[tuple[ast.expr | ast.stmt, str]]) -> str:
    """`text` with nodes replaced; positions are lines and UTF-8 columns, as in `ast`."""
    encoded = text.encode()
    starts = list(accumulate(map(len, encoded.splitlines(keepends=True)), initial=0))
    for node, new in sorted(edits, key=lambda edit: (edit[0].lineno, edit[0].col_offset), reverse=True):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or node.col_offset)
        encoded = encoded[:start] + new.encode() + encoded[end:]
    return encoded.decode()
