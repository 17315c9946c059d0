"""What a class or a function says of itself: its prose, its arguments with type and default, what it raises."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

__all__ = ["Argument", "Described", "arguments", "described", "first_sentence", "methods", "signature"]

SECTION = re.compile(r"^(Args|Attributes|Raises|Returns):$")
ENTRY = re.compile(r"^    (\S.*?): (.*)$")
LONGEST = 120  # characters of a default that is shown


class Argument(Struct, frozen=True):
    """One argument, as it is shown; `default` is None where it must be given."""

    name: str
    type: str
    default: str | None
    meaning: str


class Described(Struct, frozen=True):
    """A docstring taken apart: its prose, and of each section the entries by name."""

    prose: str
    sections: Mapping[str, Mapping[str, str]]

    def meanings(self) -> dict[str, str]:
        """What it says of arguments and attributes."""
        return {**self.sections.get("Attributes", {}), **self.sections.get("Args", {})}


def described(docstring: str | None) -> Described:
    """Takes a docstring apart; what it returns is of no name, and an entry of two, as ``mean, std: …``, is one of each.

    What raises two errors stays together: ``NotFound, Conflict: …``.
    """
    prose: list[str] = []
    sections: dict[str, dict[str, str]] = {}
    title, names = "", [""]
    for line in inspect.cleandoc(docstring or "").splitlines():
        if section := SECTION.match(line):
            title, names = section[1], [""]
            sections[title] = {}
        elif not title:
            prose.append(line)
        elif (entry := ENTRY.match(line)) and title != "Returns":
            names = [entry[1]] if title == "Raises" else entry[1].split(", ")
            sections[title].update(dict.fromkeys(names, entry[2]))
        elif line.strip():
            sections[title].update({name: f"{sections[title].get(name, '')} {line.strip()}".strip() for name in names})
    return Described("\n".join(prose).strip(), sections)


def first_sentence(docstring: str | None) -> str:
    """Up to the first full stop that ends a sentence, on one line."""
    first = described(docstring).prose.split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", first)[0]


def arguments(shown: Callable[..., Any]) -> list[Argument]:
    """Those of a function, or of the constructor of a class; a class inherits what its bases say of the same name."""
    meanings: dict[str, str] = {}
    for each in reversed(getattr(shown, "__mro__", (shown,))):
        if each is not object:
            meanings |= described(each.__doc__).meanings()
    hints = _hints(shown)
    return [
        Argument(f"{_STARS.get(each.kind, '')}{each.name}", type_text(hints.get(each.name, each.annotation)), default,
                 meanings.get(each.name) or meanings.get(f"*{each.name}", ""))
        for each, default in _parameters(shown)
    ]  # fmt: skip


def signature(shown: Callable[..., Any]) -> str:
    """How it is called, without types and defaults: ``(url, model, *, name)``."""
    text: list[str] = []
    star = False
    for each in inspect.signature(shown).parameters.values():
        if each.kind is each.KEYWORD_ONLY and not star:
            text.append("*")
        star = star or each.kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        text.append(f"{_STARS.get(each.kind, '')}{each.name}")
    return f"({', '.join(text)})"


def methods(shown: type, without: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """The public methods and properties that a class defines: each as it is called, and its first sentence."""
    for name, member in vars(shown).items():
        inner = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if name.startswith("_") or name in without or not (member.__doc__ or inspect.isfunction(inner)):
            continue
        if isinstance(member, property):
            yield name, first_sentence(member.__doc__)
        elif inspect.isfunction(inner):
            names = [f"{_STARS.get(each.kind, '')}{each.name}" for each in inspect.signature(inner).parameters.values()]
            first = 0 if isinstance(member, staticmethod) else 1
            waits = "await " if inspect.iscoroutinefunction(inner) else ""
            yield f"{waits}{name}({', '.join(names[first:])})", first_sentence(inner.__doc__)


def type_text(hint: Any) -> str:
    """A type as it is written, without modules and bounds."""
    if hint is None or hint is type(None):
        return "None"
    if isinstance(hint, str):
        return hint.strip("'")
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(f'"{each}"' for each in inner)
    if origin in (Union, types.UnionType):
        return " | ".join(map(type_text, inner))
    if origin is Annotated:
        return type_text(inner[0])
    if origin is np.ndarray:
        return "Array"
    name = getattr(origin or hint, "__name__", str(hint))
    return f"{name}[{', '.join(map(_inner_text, inner))}]" if inner else name


def _inner_text(hint: Any) -> str:
    if isinstance(hint, list | tuple):
        return f"[{', '.join(map(type_text, hint))}]"
    return "..." if hint is Ellipsis else hint.__name__ if isinstance(hint, TypeVar) else type_text(hint)


_STARS: Mapping[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def _hints(shown: Callable[..., Any]) -> dict[str, Any]:
    """The types by name, where they can be had at run time; else the words of the source do."""
    target = shown.__init__ if inspect.isclass(shown) and not issubclass(shown, Struct) else shown
    try:
        return get_type_hints(target, include_extras=True)
    except NameError:  # a type that is imported for type checkers alone
        return {}


def _parameters(shown: Callable[..., Any]) -> Iterator[tuple[inspect.Parameter, str | None]]:
    made = {each.name: each for each in fields(shown)} if inspect.isclass(shown) and issubclass(shown, Struct) else {}
    for each in inspect.signature(shown).parameters.values():
        default = each.default
        if each.name in made and made[each.name].default_factory is not NODEFAULT:
            default = made[each.name].default_factory()
        variable = each.kind in _STARS
        yield each, None if default is inspect.Parameter.empty or variable else _default(default)


def _default(value: Any) -> str:
    if isinstance(value, types.MappingProxyType):
        value = dict(value)
    if isinstance(value, Path):
        return f'Path("{value}")'
    if isinstance(value, str):
        return f'"{value}"'
    if callable(value):
        name: str = value.__name__
        return "…" if name == "<lambda>" else name
    if isinstance(value, Struct) and all(getattr(value, each.name) == each.default for each in fields(value)):
        return f"{type(value).__name__}()"
    text = f"{value:_}" if isinstance(value, int) and abs(value) > 9999 else repr(value)
    return text if len(text) <= LONGEST else "…"
