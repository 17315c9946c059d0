"""The catalogue: what the 26 systems are, read from the headers of their files with `ast`, importing none of them.

A pattern's header is its module docstring, in exactly this form: the title, a blank line, one `Key: value` line each
for the keys of KEYS in their order, then `Diagram:` and `Commands:` as blocks indented by four, a blank line before each.
A value that needs more than a line goes on in lines indented by two.

`python -m mlpatterns.catalog` prints the README's table.
"""

from __future__ import annotations

import ast
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from inspect import cleandoc
from pathlib import Path

import msgspec
from msgspec import Struct

from mlpatterns.errors import UnknownName, UserError

__all__ = ["BLOCKS", "GROUPS", "KEYS", "Header", "System", "find", "get", "parse_header", "read_pattern", "systems"]

GALLERY = Path(__file__).parent / "patterns"
PLANNED = GALLERY / "catalogue.toml"
GROUPS = ("training", "release", "serving", "operations", "management")
KEYS = ("Need", "Group", "Book", "Mercari", "Japanese", "When", "When not")
BLOCKS = ("Diagram", "Commands")
# What a pattern imports from mlpatterns that is no part of the system it draws.
NOT_PIECES = {"Evidence", "Row", "Predictor", "serve", "running", "Settings"}
PIECE_OF = {"chosen_model": "OnnxModel"}


class Header(Struct, frozen=True, kw_only=True):
    """What a pattern says of itself. `diagram` and `commands` are empty for a system that is not built."""

    title: str
    need: str
    group: str
    book: str
    mercari: str
    japanese: str
    when: str = ""
    when_not: str = ""
    diagram: str = ""
    commands: str = ""


class System(Struct, frozen=True):
    """One of the 26.

    Attributes:
        path: its file, or None while it is not built.
        pieces: the names it composes, as imported from mlpatterns.
        defines: the names of its file's top level: `app`, `build`, `demo`, …
    """

    name: str
    header: Header
    path: Path | None = None
    pieces: tuple[str, ...] = ()
    defines: frozenset[str] = frozenset()

    @property
    def built(self) -> bool:
        return self.path is not None

    @property
    def module(self) -> str:
        """What to import for it."""
        return f"mlpatterns.patterns.{self.header.group}.{self.name}"

    @property
    def aliases(self) -> tuple[str, ...]:
        """What else it is called: the last part of the book's path."""
        return tuple({self.header.book.rpartition("/")[2]} - {self.name})


def systems() -> tuple[System, ...]:
    """All systems, by group and name.

    Raises:
        UserError: a pattern's header is not right.
    """
    return _systems(GALLERY)


def get(name: str) -> System:
    """The system called `name`, or by the book's name, with hyphens or capitals or neither.

    Raises:
        UnknownName: there is none; suggests the nearest.
    """
    names = {spelling: system for system in systems() for spelling in (*system.aliases, system.name)}
    asked = re.sub(r"[-\s]+", "_", unicodedata.normalize("NFKC", name).strip()).casefold()
    if asked in names:
        return names[asked]
    raise UnknownName("pattern", name, _nearest(asked, names), "`mlpatterns list` shows all")


def find(word: str) -> list[System]:
    """The systems that `word` fits, best first: in the name, then the title, need, and the words on when to use it.

    All parts of `word` must occur; width and case do not matter, so `ﾊﾞｯﾁ` finds バッチ.
    """
    parts = fold(word).split()
    ranked = [(rank, system) for system in systems() if (rank := _rank(system, parts)) is not None]
    return [system for _, system in sorted(ranked, key=lambda entry: entry[0])]


def fold(text: str) -> str:
    """`text` as it is compared: NFKC, case folded, underscores and hyphens as spaces."""
    return re.sub(r"[_\-]+", " ", unicodedata.normalize("NFKC", text).casefold())


# ---- reading -----------------------------------------------------------------------------------------------------


def read_pattern(path: Path) -> System:
    """One pattern from its file.

    Raises:
        UserError: it cannot be parsed, or its header is not right.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise UserError(f"{path.name} cannot be read as Python: {error}") from error
    header = parse_header(ast.get_docstring(tree, clean=False) or "", path.name)
    if header.group != path.parent.name:
        raise UserError(f"{path.name}: its Group is {header.group!r}, but its folder is {path.parent.name!r}")
    pieces = [PIECE_OF.get(name, name) for name in _imports(tree) if name not in NOT_PIECES]
    return System(path.stem, header, path, tuple(dict.fromkeys(pieces)), frozenset(_definitions(tree)))


def parse_header(docstring: str, file: str) -> Header:
    """A header in the form that this module's docstring describes.

    Raises:
        UserError: naming the file and what is missing, unknown, repeated, empty or out of order.
    """
    lines = cleandoc(docstring).splitlines()
    if len(lines) < 2 or not lines[0].strip() or lines[1].strip():
        raise UserError(f"{file}: the header must begin with its title and a blank line")
    fields = dict(_fields(lines[2:], file))
    wanted = (*KEYS, *BLOCKS)
    for key in wanted:
        if not fields.get(key):
            raise UserError(f"{file}: the header lacks {key!r}")
    if tuple(fields) != wanted:
        raise UserError(f"{file}: the header's keys must come in the order {', '.join(wanted)}")
    if fields["Group"] not in GROUPS:
        raise UserError(f"{file}: the Group {fields['Group']!r} is none of {', '.join(GROUPS)}")
    return Header(title=lines[0].strip(), **{key.lower().replace(" ", "_"): fields[key] for key in wanted})


def _fields(lines: Sequence[str], file: str) -> Iterator[tuple[str, str]]:
    key, values = "", list[str]()
    seen: set[str] = set()
    for line in [*lines, ":"]:
        if line.startswith("  ") or not line.strip():
            values.append(line)
            continue
        if key:
            yield key, _value(key, values)
        key, separator, first = line.partition(":")
        values = [first]
        if separator and not key:
            return
        if key not in KEYS + BLOCKS or not separator:
            raise UserError(f"{file}: the header has the line {line!r}, which is no key of it")
        if key in seen:
            raise UserError(f"{file}: the header has {key!r} twice")
        seen.add(key)


def _value(key: str, lines: Sequence[str]) -> str:
    if key in BLOCKS:
        return "\n".join(line.removeprefix("    ") for line in lines[1:]).rstrip()
    return " ".join(line.strip() for line in lines).strip()


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "mlpatterns":
            yield from (name.name for name in node.names)


def _definitions(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


@cache
def _systems(gallery: Path) -> tuple[System, ...]:
    planned = msgspec.convert(tomllib.loads(PLANNED.read_text(encoding="utf-8")), dict[str, Header])
    found = {name: System(name, header) for name, header in planned.items()}
    for group in GROUPS:
        for path in sorted((gallery / group).glob("[!_]*.py")):
            found[path.stem] = read_pattern(path)
    return tuple(sorted(found.values(), key=lambda system: (GROUPS.index(system.header.group), system.name)))


# ---- searching ---------------------------------------------------------------------------------------------------


def _nearest(asked: str, names: dict[str, System]) -> list[str]:
    """The names to suggest from: those that `asked` begins or is begun by, else all."""
    near = [name for name in names if len(asked) > 2 and (name.startswith(asked) or asked.startswith(name))]
    return near or list(names)


def _rank(system: System, parts: Sequence[str]) -> int | None:
    """The place of the first field that decides: 0 is best, None is no match."""
    header = system.header
    texts = [
        fold(text)
        for text in (
            f"{system.name} {' '.join(system.aliases)}",
            f"{header.title} {header.japanese} {header.mercari}",
            header.need,
            f"{header.group} {' '.join(system.pieces)}",
            f"{header.when} {header.when_not}",
        )
    ]
    if not parts or not all(any(part in text for text in texts) for part in parts):
        return None
    if " ".join(parts) == fold(system.name):
        return -1
    return max(min(place for place, text in enumerate(texts) if part in text) for part in parts)


# ---- the README's table ------------------------------------------------------------------------------------------


def markdown() -> str:
    """All systems as a Markdown table: need, file, pieces, the book's path."""
    lines = ["| I need to … | System | Pieces | In the book |", "|---|---|---|---|"]
    for system in systems():
        header = system.header
        file = f"[`{system.name}`](src/{system.module.replace('.', '/')}.py)" if system.built else f"`{system.name}`"
        pieces = ", ".join(f"`{piece}`" for piece in system.pieces) or "—"
        lines.append(f"| {header.need} | {file} | {pieces if system.built else 'not built yet'} | {header.book} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())  # noqa: T201 - this is its output
