"""Writes docs/reference.md from the docstrings and from docs/examples: `python -m docs.make_reference`.

It writes `__init__.pyi` too, where the public names are (`public_names.py`).

Each group of names has a module in docs/examples, which lists them and has a function for each example, called like
the name in lower case with underscores. Its body is shown with the imports that it uses, and a test runs what is shown.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from importlib import import_module, reload
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import mlpatterns
import mlpatterns.testing
from docs.docstrings import Argument, arguments, described, first_sentence, methods, signature
from docs.example_source import example_of
from docs.public_names import GROUPS, STUB, stub
from mlpatterns.errors import ErrorCode, MlpatternsError, PredictionError
from mlpatterns.oip.status import http_status

__all__ = ["PAGE", "examples", "group_module", "public", "reference"]

PAGE = Path(__file__).with_name("reference.md")
HEAD = (
    "<!-- Made by `python -m docs.make_reference` of docstrings and docs/examples; a test compares -->\n\n# Reference"
)
OF_EVERY_PREDICTOR = frozenset(name for name in vars(mlpatterns.Predictor) if not name.startswith("_"))
OF_EVERY_PIECE = OF_EVERY_PREDICTOR | {"overall_health"}  # a subclass replaces it, users do not call it


def reference() -> str:
    """The whole page."""
    introduction = inspect.cleandoc(import_module("docs.examples").__doc__ or "")
    parts = [
        HEAD,
        introduction,
        "\n".join(map(_contents, GROUPS)),
        *(part for group in GROUPS for part in _group(group_module(group))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def group_module(group: str) -> ModuleType:
    """The names of a group, `NAMES`, and their examples."""
    return import_module(f"docs.examples.{group}")


def public(name: str) -> Any:
    """What has this public name, of mlpatterns or of mlpatterns.testing."""
    return getattr(mlpatterns if name in mlpatterns.__all__ else mlpatterns.testing, name)


def examples() -> dict[str, str]:
    """The examples by the name that each is of."""
    found = ((name, example_of(group_module(group), name)) for group in GROUPS for name in group_module(group).NAMES)
    return {name: example for name, example in found if example}


def _contents(group: str) -> str:
    module = group_module(group)
    title = _title(module)
    names = [f"[{name}](#{name.lower()})" for name in module.NAMES if not _is_error(public(name))]
    if len(names) < len(module.NAMES):
        names.append("[every error](#every-error)")
    return f"- [{title}](#{re.sub(r'[^a-z -]', '', title.lower()).replace(' ', '-')}): {', '.join(names)}"


def _title(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0].rstrip(".")


def _group(module: ModuleType) -> Iterator[str]:
    yield f"## {_title(module)}"
    yield inspect.cleandoc(module.__doc__ or "").partition("\n")[2].strip()
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
    if taken:
        yield f"`{name}{signature(shown)}`"
    yield _listed("Arguments", ((_argument(each), each.meaning) for each in taken))
    known = OF_EVERY_PREDICTOR if shown is mlpatterns.BasePredictor else OF_EVERY_PIECE
    calls = list(methods(shown, frozenset() if interface else known)) if inspect.isclass(shown) else []
    has = [each for each in told.sections.get("Attributes", {}).items() if each[0] not in names]
    has += [call for call in calls if "(" not in call[0] and call[0] not in dict(has)]
    yield _listed("Attributes", ((f"`{each}`", text) for each, text in has))
    yield _listed("Methods", ((f"`{call}`", text) for call, text in calls if "(" in call))
    yield _listed("Returns", (("", text) for text in told.sections.get("Returns", {}).values()))
    yield _listed("Raises", ((f"`{kind}`", text) for kind, text in told.sections.get("Raises", {}).items()))
    yield _shown(example_of(module, name))


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
            when = when or codes[kind.code][:1].upper() + codes[kind.code][1:]
        rows.append(f"| `{name}` | `{kind.__bases__[0].__name__}` | {answered} | {when} |")
    yield "### Every error"
    yield "\n".join(rows)
    yield _shown(example_of(module, "MlpatternsError"))


def _argument(each: Argument) -> str:
    default = "" if each.default is None else f", default `{each.default}`"
    return f"`{each.name}` (`{each.type}`{default})"


def _listed(title: str, entries: Iterable[tuple[str, str]]) -> str:
    """A list of what is said of each; those that stand together and have one sentence share it."""
    lines = [
        f"- {': '.join(filter(None, (', '.join(name for name, _ in same), text)))}"
        for text, same in ((text, list(same)) for text, same in groupby(entries, key=lambda each: each[1]))
    ]
    return "\n".join([f"{title}:", "", *lines]) if lines else ""


def _shown(example: str | None) -> str:
    return f"```python\n{example}\n```" if example else ""


def _is_error(shown: Any) -> bool:
    return inspect.isclass(shown) and issubclass(shown, MlpatternsError)


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
    reload(mlpatterns)  # so that the examples can import a name that is new
    PAGE.write_text(reference(), encoding="utf-8")
