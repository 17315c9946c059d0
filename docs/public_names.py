"""The public names, each listed once: in the group of docs/examples that documents it. `__init__.pyi` is made of them.

The stub says of each name in which module it lives: the one that defines it and has it in its `__all__`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["GROUPS", "STUB", "TESTING", "home", "names_of", "stub"]

EXAMPLES = Path(__file__).with_name("examples")
SOURCE = EXAMPLES.parent.parent / "src" / "mlpatterns"
STUB = SOURCE / "__init__.pyi"
GROUPS = (
    *("leaves", "images", "serving", "composing", "guarding", "caching", "later", "comparing", "watching", "core"),
    *("extending", "registry", "edge", "settings", "evidence", "errors", "doubles", "processes", "trials"),
)
TESTING = {"doubles", "processes", "trials"}  # the groups of names that `mlpatterns.testing` has

# The module of a name that several modules define for themselves, or that its module calls otherwise.
HOMES = {
    "Answers": "mlpatterns.server.answers",
    "Experiment": "mlpatterns.pieces.experiment.experiment",
    "Limits": "mlpatterns.programs.monitor_rules",
    "Route": "mlpatterns.pieces.route.route",
    "Row": "mlpatterns.evidence",
    "Service": "mlpatterns.service",
    "Split": "mlpatterns.pieces.split.split",
    "ended": "mlpatterns.base",
    "export": "mlpatterns.exporting.exporter",
    "train": "mlpatterns.training",
}
CALLED_THERE = {"train": "run"}

HEAD = '''"""The public names, each with its module: for type checkers, and for `__init__.py`, which imports them by it.

`python -m docs.make_reference` makes this file of the names in docs/examples; a test compares.
"""
'''


def names_of(group: str) -> tuple[str, ...]:
    """The names in a group of the reference, in the order of their entries: read, since its examples import them."""
    for node in ast.parse((EXAMPLES / f"{group}.py").read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="NAMES")], value=names):
                found: tuple[str, ...] = ast.literal_eval(names)
                return found
    raise LookupError(f"docs/examples/{group}.py has no NAMES; list the public names of its examples in it")


def stub() -> str:
    """The whole of `__init__.pyi`."""
    names = [name for group in GROUPS if group not in TESTING for name in names_of(group)]
    found = sorted((home(name), name[0].islower(), name.lower(), name) for name in names)  # as ruff sorts imports
    lines = [
        f"from {module} import {there}" + (f" as {name}" if there == name else "")
        for module, _, _, name in found
        for there in [CALLED_THERE.get(name, name)]
    ]
    renamed = [f"{name} = {there}" for name, there in CALLED_THERE.items()]
    return "\n".join([HEAD, *lines, "", "__all__: list[str]", "__version__: str", "", *renamed, ""])


def home(name: str) -> str:
    """The module that a public name comes from.

    Raises:
        LookupError: no module, or more than one, defines it and has it in its `__all__`.
    """
    found = [HOMES[name]] if name in HOMES else sorted(_definitions().get(name, ()))
    if len(found) != 1:
        raise LookupError(f"{name} is defined in {', '.join(found) or 'no module'}; say in docs/public_names.py which")
    return found[0]


@cache
def _definitions() -> dict[str, set[str]]:
    """The modules that define a name and have it in their `__all__`, by name."""
    found: dict[str, set[str]] = {}
    for file in SOURCE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        offered = set(re.findall(r'"(\w+)"', _all_of(text)))
        for name in offered.intersection(_defined(text)):
            found.setdefault(name, set()).add(_module(file))
    return found


def _all_of(text: str) -> str:
    found = re.search(r"^__all__ = [\[(](.*?)[\])]", text, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def _defined(text: str) -> Iterator[str]:
    yield from re.findall(r"^(?:class|def|async def) (\w+)", text, re.MULTILINE)
    yield from re.findall(r"^(\w+)(?:: [^=\n]+)? = ", text, re.MULTILINE)


def _module(file: Path) -> str:
    return ".".join(("mlpatterns", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
