"""The catalogue of the systems, read from the headers of their files with `ast`, without importing them.

patterns/header.py describes a header. patterns/catalog.toml holds more data about each system.
"""

from __future__ import annotations

import ast
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.patterns.header import GROUPS, Header, parse_header
from mlpatterns.user_errors import NotOffered, UnknownName, UserError

__all__ = [
    "GROUPS",
    "System",
    "find",
    "get",
    "near",
    "read_pattern",
    "require",
    "serving",
    "systems",
    "texts",
]

GALLERY = Path(__file__).parent / "patterns"
MORE = GALLERY / "catalog.toml"
STUB = GALLERY.with_name("__init__.pyi")
PIECES_IN = {"edge", "model_db", "models", "pieces", "service"}  # the subpackages whose public classes are pieces
CHOSEN, PIECE_OF = "chosen_model", {"chosen_model": "OnnxModel"}


class System(Struct, frozen=True):
    """One of the systems.

    Attributes:
        name: its name in commands, which is the stem of its file.
        header: its parsed header.
        path: its file.
        pieces: the names of its pieces, as imported from mlpatterns.
        defines: the top-level names of its file: `app`, `build`, `demo`, …
        takes_model: whether `--model` can replace its model.
        everyday: other words that people use for it.
        japanese: its need in Japanese.
        keeps: its state, and the stores that hold it.
    """

    name: str
    header: Header
    path: Path
    pieces: tuple[str, ...] = ()
    defines: frozenset[str] = frozenset()
    takes_model: bool = False
    everyday: tuple[str, ...] = ()
    japanese: str = ""
    keeps: str = ""

    @property
    def module(self) -> str:
        """The name of its module."""
        return f"mlpatterns.patterns.{self.header.group}.{self.name}"

    @property
    def aliases(self) -> tuple[str, ...]:
        """Its other names: the last part of the path in the book, if it is there."""
        return tuple({self.header.book.rpartition("/")[2]} - {self.name, ""})


def systems() -> tuple[System, ...]:
    """All systems, sorted by group and name.

    Raises:
        UserError: the header of a pattern is invalid.
    """
    return _systems(GALLERY)


def get(name: str) -> System:
    """The system with this name, its name in the book or its Japanese name. Width, case and hyphens do not matter.

    Raises:
        UnknownName: no system has this name; the text suggests the nearest.
    """
    spellings = {fold(text): system for system in systems() for text in (system.header.japanese, *system.aliases)}
    names = spellings | {fold(system.name): system for system in systems()}
    asked = fold(name)
    if asked in names:
        return names[asked]
    near = [text for text in names if asked and text.startswith(asked)] or get_close_matches(asked, names, cutoff=0.5)
    suggestion = f"did you mean {names[near[0]].name!r}? " if near else ""
    error = UnknownName("pattern", name, hint=f"{suggestion}`mlpatterns list` shows all")
    error.near = names[near[0]].name if near else None
    raise error


def require(name: str, definition: str) -> System:
    """The system with this name, if its file defines `definition`, e.g. `app`.

    Raises:
        UnknownName: no system has this name.
        NotOffered: its file does not define it.
    """
    system = get(name)
    if definition not in system.defines:
        able = ", ".join(other.name for other in systems() if definition in other.defines)
        raise NotOffered(
            f"{system.name} has no {definition}; {able or 'no system'} has; `mlpatterns show {system.name}` says "
            "what it is for"
        )
    return system


def serving(trained: str) -> tuple[System, ...]:
    """The systems that serve the model of the training `trained`: those whose commands include that training."""

    def trains(system: System) -> bool:
        lines = map(str.split, system.header.commands.splitlines())
        return any(line[:2] == ["mlpatterns", "train"] and trained in line for line in lines)

    return tuple(system for system in systems() if "app" in system.defines and trains(system))


def find(word: str) -> list[System]:
    """The systems that match `word`, best first: by name, then title, everyday words, need, pieces, and when to use it.

    All parts of `word` must occur; width and case do not matter, so `ﾊﾞｯﾁ` finds バッチ.
    """
    parts = fold(word).split()
    ranked = [(rank, system) for system in systems() if (rank := _rank(system, parts)) is not None]
    return [system for _, system in sorted(ranked, key=lambda entry: entry[0])]


def near(word: str) -> list[str]:
    """The searchable words that are spelled most like `word`, the nearest first."""
    known = {part for system in systems() for text in texts(system) for part in re.findall(r"\w{3,}", text)}
    return get_close_matches(fold(word), sorted(known), cutoff=0.75)


def fold(text: str) -> str:
    """`text` normalised for comparison: NFKC, case folded, underscores and hyphens as spaces."""
    return re.sub(r"[_\-]+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()


# ---- reading -----------------------------------------------------------------------------------------------------


def read_pattern(path: Path) -> System:
    """One pattern from its file.

    Raises:
        UserError: the file is not valid Python, or its header is invalid.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise UserError(f"{path.name} cannot be read as Python: {error}") from error
    header = parse_header(ast.get_docstring(tree, clean=False) or "", path.name)
    if header.group != path.parent.name:
        raise UserError(f"{path.name}: its Group is {header.group!r}, but its folder is {path.parent.name!r}")
    imports = list(_imports(tree))
    pieces = dict.fromkeys(PIECE_OF.get(name, name) for name in imports if _is_piece(name))
    return System(path.stem, header, path, tuple(pieces), frozenset(_definitions(tree)), CHOSEN in imports)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "mlpatterns":
            yield from (name.name for name in node.names)


def _is_piece(name: str) -> bool:
    return name in PIECE_OF or (name[0].isupper() and _top_packages().get(name) in PIECES_IN)


@cache
def _top_packages() -> dict[str, str]:
    """The subpackage or module of each public name."""
    found = re.findall(r"^from mlpatterns\.(\w+)\S* import (\w+)", STUB.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: package for package, name in found}


def _definitions(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


@cache
def _systems(gallery: Path) -> tuple[System, ...]:
    more = tomllib.loads(MORE.read_text(encoding="utf-8"))
    paths = [path for group in GROUPS for path in sorted((gallery / group).glob("[!_]*.py"))]
    return tuple(
        replace(
            system,
            everyday=tuple(own.get("called", ())),
            japanese=own.get("need_ja", ""),
            keeps=own.get("keeps", ""),
        )
        for system in map(read_pattern, paths)
        for own in [more.get(system.name, {})]
    )


# ---- searching ---------------------------------------------------------------------------------------------------


def _rank(system: System, parts: Sequence[str]) -> int | None:
    """The position of the least important text that the match needs. Lower is better; None means no match."""
    found_by = texts(system)
    if not parts or not all(any(part in text for text in found_by) for part in parts):
        return None
    if " ".join(parts) == fold(system.name):
        return -1
    return max(min(place for place, text in enumerate(found_by) if part in text) for part in parts)


def texts(system: System) -> list[str]:
    """The searchable texts of a system, the most important first."""
    header = system.header
    return [
        fold(text)
        for text in (
            f"{system.name} {' '.join(system.aliases)}",
            f"{header.title} {header.japanese} {header.mercari}",
            ", ".join(system.everyday),
            f"{header.need} {system.japanese}",
            f"{header.group} {' '.join(system.pieces)}",
            f"{header.when} {header.when_not}",
        )
    ]
