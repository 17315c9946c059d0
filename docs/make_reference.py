"""Writes docs/reference.md from the docstrings and from docs/examples: `python -m docs.make_reference`.

Each group of names has a module in docs/examples, which lists them and has a function for each example, called like
the name in lower case with underscores. Its body is shown with the imports that it uses, and a test runs what is shown.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import mlpatterns
import mlpatterns.testing
from docs.docstrings import Argument, arguments, described, first_sentence, methods
from mlpatterns.errors import ErrorCode, MlpatternsError, PredictionError
from mlpatterns.oip.status import http_status

__all__ = ["GROUPS", "PAGE", "examples", "public", "reference"]

PAGE = Path(__file__).with_name("reference.md")
GROUPS = ("leaves", "images", "serving", "composing", "guarding", "caching", "later", "comparing", "watching",
          "core", "registry", "edge", "settings", "evidence", "errors", "doubles", "processes", "trials")  # fmt: skip
HEAD = "<!-- Made by `python -m docs.make_reference` from docstrings and docs/examples; a test compares. -->\n\n# Reference"
OF_EVERY_PREDICTOR = frozenset(name for name in vars(mlpatterns.Predictor) if not name.startswith("_"))


def reference() -> str:
    """The whole page."""
    introduction = inspect.cleandoc(import_module("docs.examples").__doc__ or "")
    parts = [HEAD, introduction, *(part for group in GROUPS for part in _group(group_module(group)))]
    return "\n\n".join(part for part in parts if part) + "\n"


def group_module(group: str) -> ModuleType:
    """The names of a group, `NAMES`, and their examples."""
    return import_module(f"docs.examples.{group}")


def public(name: str) -> Any:
    """What has this public name, of mlpatterns or of mlpatterns.testing."""
    return getattr(mlpatterns if name in mlpatterns.__all__ else mlpatterns.testing, name)


def examples() -> dict[str, str]:
    """The examples by the name that each is of."""
    found = ((name, _example(group_module(group), name)) for group in GROUPS for name in group_module(group).NAMES)
    return {name: example for name, example in found if example}


def _group(module: ModuleType) -> Iterator[str]:
    title, _, introduction = inspect.cleandoc(module.__doc__ or "").partition("\n")
    yield f"## {title.rstrip('.')}"
    yield introduction.strip()
    errors = [name for name in module.NAMES if _is_error(public(name))]
    for name in module.NAMES:
        if name not in errors:
            yield from _entry(module, name)
    if errors:
        yield from _errors(module, errors)


def _entry(module: ModuleType, name: str) -> Iterator[str]:
    shown = public(name)
    yield f"### {name}"
    if name == "Array":
        yield "`numpy.ndarray[Any, numpy.dtype[Any]]`: an array of any datatype."
        return
    told = described(shown.__doc__)
    yield told.prose
    interface = getattr(shown, "_is_protocol", False)
    taken = [] if interface or shown is ErrorCode else arguments(shown)
    names = {each.name.lstrip("*") for each in taken}
    yield _listed("Arguments" if taken else "", map(_argument, taken))
    has = (f"- `{each}`: {text}" for each, text in told.sections.get("Attributes", {}).items() if each not in names)
    yield _listed("Attributes", has)
    if inspect.isclass(shown):
        calls = methods(shown, frozenset() if interface else OF_EVERY_PREDICTOR)
        yield _listed("Methods", (f"- `{call}`{': ' if text else ''}{text}" for call, text in calls))
    yield _listed("Returns", (f"- {text}" for text in told.sections.get("Returns", {}).values()))
    yield _listed("Raises", (f"- `{kind}`: {text}" for kind, text in told.sections.get("Raises", {}).items()))
    yield _shown(_example(module, name))


def _errors(module: ModuleType, names: Iterable[str]) -> Iterator[str]:
    """All errors in one table, with one example."""
    rows, codes = (
        ["| Error | Is a | Code | HTTP | When |", "|---|---|---|---|---|"],
        described(ErrorCode.__doc__).meanings(),
    )
    for name in names:
        kind = public(name)
        answered, when = " | ", first_sentence(vars(kind)["__doc__"])
        if issubclass(kind, PredictionError) and kind is not PredictionError:
            answered = f"`{kind.code}` | {http_status(kind.code)}"
            when = when or codes[kind.code]
        rows.append(f"| `{name}` | `{kind.__bases__[0].__name__}` | {answered} | {when} |")
    yield "### Every error"
    yield "\n".join(rows)
    yield _shown(_example(module, "MlpatternsError"))


def _argument(each: Argument) -> str:
    default = "" if each.default is None else f", default `{each.default}`"
    return f"- `{each.name}` (`{each.type}`{default}): {each.meaning}"


def _listed(title: str, entries: Iterable[str]) -> str:
    lines = list(entries)
    return "\n".join([f"{title}:", "", *lines]) if lines else ""


def _shown(example: str | None) -> str:
    return f"```python\n{example}\n```" if example else ""


def _is_error(shown: Any) -> bool:
    return inspect.isclass(shown) and issubclass(shown, MlpatternsError)


def _example(module: ModuleType, name: str) -> str | None:
    """The imports that the function of a name uses, and its body."""
    called = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    function = vars(module).get(f"{called}_example")
    if function is None:
        return None
    source = textwrap.dedent(inspect.getsource(function))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    body = textwrap.dedent("\n".join(source.splitlines()[definition.body[0].lineno - 1 :]))
    used = {node.id for node in ast.walk(definition) if isinstance(node, ast.Name)}
    return "\n\n".join(filter(None, ("\n".join(_imports(module, used)), body)))


def _imports(module: ModuleType, used: set[str]) -> Iterator[str]:
    """The imports of a module that bind one of these names, each as short as it can be."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") != "__future__":
            node.names = [each for each in node.names if (each.asname or each.name.partition(".")[0]) in used]
            if node.names:
                yield ast.unparse(node)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
