"""Writes what the documents say of each pattern: `python -m docs.make_patterns`.

That is a page for each in docs/patterns, and the table of the systems in both READMEs. A page shows a session, which is
kept in docs/patterns/outputs. `python -m docs.make_patterns --record [NAME …]` records the sessions of these patterns,
or of all, anew: it trains, serves and proves each in a folder that is gone afterwards. Then it writes the rest.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from docs.pattern_page import FOLDER, OUTPUTS, page
from docs.pattern_sessions import More, more, planned
from docs.readme_table import readmes
from docs.sessions import record
from mlpatterns.catalog import System, get, systems
from mlpatterns.user_errors import UnknownName

__all__ = ["main", "pages"]


def pages() -> dict[Path, str]:
    """Every page and its text."""
    others = more()
    return {FOLDER / f"{each.name}.md": page(each, others.get(each.name, More()).figures) for each in systems()}


def main(words: list[str]) -> int:
    """Does what the command line asks for: 0, or 1 if something is missing, which it says."""
    parser = ArgumentParser(prog="python -m docs.make_patterns", description=__doc__)
    parser.add_argument("--record", nargs="*", metavar="NAME", help="record these sessions anew first, or all")
    asked: list[str] | None = parser.parse_args(words).record
    try:
        chosen = () if asked is None else [get(name) for name in asked] or systems()
    except UnknownName as error:
        parser.error(str(error))
    failed = not _record(chosen)
    recorded = {path.stem for path in OUTPUTS.glob("*.txt")}
    if missing := [system.name for system in systems() if system.name not in recorded]:
        _complain(f"there is no session of {', '.join(missing)}; record it with --record {' '.join(missing)}")
        return 1
    for path, text in (pages() | readmes()).items():
        path.write_text(text, encoding="utf-8")
    return int(failed)


def _record(chosen: Iterable[System]) -> bool:
    """Records the sessions of `chosen`, each in a folder of its own that begins empty: whether none failed."""
    others, failed = more(), False
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    for system in chosen:
        plan = planned(system, others.get(system.name, More()))
        with TemporaryDirectory(prefix="session-") as folder:
            try:
                text = record(system.name, plan.before, plan.run, plan.ask, Path(folder, ".mlpatterns"))
            except RuntimeError as error:
                failed = True
                _complain(f"{system.name}: {error}")  # the old session stays
                continue
        OUTPUTS.joinpath(f"{system.name}.txt").write_text(text, encoding="utf-8")
        print(system.name, flush=True)  # noqa: T201 - how it gets on
    return not failed


def _complain(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - it is a command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
