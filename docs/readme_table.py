"""The table of the systems in both READMEs, which stands between two markers."""

from __future__ import annotations

import re
from pathlib import Path

from mlpatterns.catalog import systems

__all__ = ["READMES", "TABLE", "readmes", "table"]

REPOSITORY = Path(__file__).parents[1]
READMES = {"README.md": False, "README.ja.md": True}  # whether it is Japanese
TABLE = re.compile(r"(<!-- table: .*? -->\n).*?(\n<!-- table ends -->)", re.DOTALL)
COLUMNS = "I need to … | System | Pieces | In the book"
COLUMNS_JA = "やりたいこと | パターン | システム | 部品 | 書籍のパス"


def readmes() -> dict[Path, str]:
    """Both READMEs and their texts, with the table of the systems that there are now."""
    return {REPOSITORY / name: _with_table(name, japanese) for name, japanese in READMES.items()}


def table(*, japanese: bool = False) -> str:
    """All systems: need (in Japanese with the pattern's name), page and code, pieces, the book's path."""
    names, code = (COLUMNS_JA, "コード") if japanese else (COLUMNS, "code")
    lines = [f"| {names} |", "|---" * (names.count("|") + 1) + "|"]
    for system in systems():
        header = system.header
        file = f"src/{system.module.replace('.', '/')}.py"
        links = f"[`{system.name}`](docs/patterns/{system.name}.md) ([{code}]({file}))"
        pieces = ", ".join(f"`{piece}`" for piece in system.pieces) or "—"
        what = f"{system.japanese} | {header.japanese}" if japanese else header.need
        lines.append(f"| {what} | {links} | {pieces} | {header.book or '—'} |")
    return "\n".join(lines)


def _with_table(name: str, japanese: bool) -> str:
    text = REPOSITORY.joinpath(name).read_text(encoding="utf-8")
    made, times = TABLE.subn(lambda found: f"{found[1]}{table(japanese=japanese)}{found[2]}", text)
    if times != 1:
        raise ValueError(f"{name} must have the markers of its table once, not {times} times")
    return made
