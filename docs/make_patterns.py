"""Writes a page for each pattern into docs/patterns: `python -m docs.make_patterns`.

A page is made of the pattern's header and code, of docs/patterns.toml, and of the session in docs/patterns/outputs.
`python -m docs.make_patterns --record [NAME …]` records these sessions anew, which trains, serves and proves each
pattern in a folder that is gone afterwards, and then writes the pages.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct

from docs.pattern_code import composition
from docs.sessions import Said, read_session, record
from mlpatterns.catalog import GROUPS, System, systems
from mlpatterns.scaffold.requirements import requirement
from mlpatterns.scaffold.source import app_source

__all__ = ["FOLDER", "OUTPUTS", "Told", "index", "page", "pages", "told"]

HERE = Path(__file__).parent
FOLDER = HERE / "patterns"
OUTPUTS = FOLDER / "outputs"
DRAWINGS = HERE / "pictures"
MADE = "<!-- Made by `python -m docs.make_patterns`; a test compares. It comes last, so that the title is found. -->"
TRAINED_BY = {"cifar10": "mlpatterns[torch,train]", "model_db": "mlpatterns[registry]"}
INTRODUCTION = """Each page has one system: when to use it, what it is made of, what it answers, what it proves, and
what it costs. The outputs are recorded, not written by hand."""
HEADING = ("Verdict", "Claim", "Bound", "Measured")


class Told(Struct, frozen=True, forbid_unknown_fields=True):
    """What docs/patterns.toml adds to a pattern; its first lines say what each field is."""

    keeps: str
    before: list[str] = []
    run: str | None = None
    ask: list[str] = []
    figures: list[tuple[str, str]] = []


def told() -> dict[str, Told]:
    """By the name of the pattern."""
    text = HERE.joinpath("patterns.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Told])


def pages() -> dict[Path, str]:
    """Every page and its text."""
    about = told()
    made = {FOLDER / f"{system.name}.md": page(system, about[system.name]) for system in systems()}
    return {FOLDER / "index.md": index(), **made}


def index() -> str:
    """The page that leads to the others."""
    parts = ["# Patterns", INTRODUCTION]
    for group in GROUPS:
        rows = [f"| {system.header.need} | [{system.name}]({system.name}.md) | {system.header.title} |"
                for system in systems() if system.header.group == group]  # fmt: skip
        parts += [f"## {group.capitalize()}", "\n".join(["| I need to … | System | Pattern |", "|---|---|---|", *rows])]
    return "\n\n".join([*parts, MADE]) + "\n"


def page(system: System, more: Told) -> str:
    """The page of one system.

    Raises:
        ValueError: its recorded session has no evidence.
    """
    header = system.header
    recorded, said = read_session(OUTPUTS.joinpath(f"{system.name}.txt").read_text(encoding="utf-8"))
    *session, demo = said
    parts = [
        f"# {header.title}",
        f"**{header.need}.**",
        f"- **Use it when**: {header.when}.\n- **Not when**: {header.when_not}.",
        "## Drawing",
        f"```text\n{header.diagram}\n```",
        *_pieces(system),
        "## Code",
        *_code(system),
        "## Commands",
        f"```sh\n{header.commands}\n```",
        "## A session",
        f"What the commands print. {recorded} Identifiers, digests and times differ from run to run.",
        f"```console\n{_transcript(session)}\n```",
        "## What it proves",
        f"`{demo.command}` runs the system and measures what it claims; it exits with 1 if a claim does not hold.",
        _evidence(demo),
        "## What it costs",
        "\n".join(_costs(system, more)),
        "## Its names",
        "\n".join(_names(system)),
    ]
    return "\n\n".join([*parts, MADE]) + "\n"


def _pieces(system: System) -> Iterator[str]:
    if DRAWINGS.joinpath(f"{system.name}.svg").exists():
        yield "The pieces, as the index page of `mlpatterns up` draws them:"
        yield f"![The pieces of {system.name}](../pictures/{system.name}.svg)"


def _code(system: System) -> Iterator[str]:
    text = system.path.read_text(encoding="utf-8")
    file = f"[`{system.name}.py`](../../src/{system.module.replace('.', '/')}.py)"
    if "app" in system.defines:
        yield f"This is what {file} composes; the rest of the file is its demo."
        yield f"```python\n{composition(text)}\n```"
    else:
        steps = "[`mlpatterns.training`](../../src/mlpatterns/training)"
        yield f"The steps are in {steps}; {file} proves what they promise:"
        yield f"```python\n{composition(text, ('demo',))}\n```"


def _transcript(session: list[Said]) -> str:
    return "\n\n".join(f"$ {each.command}\n{each.output}".rstrip() for each in session)


def _evidence(demo: Said) -> str:
    """The table that the demo printed, claim by claim."""
    lines = demo.output.splitlines()
    begin = next((number for number, line in enumerate(lines) if line.split()[:2] == list(HEADING[:2])), None)
    if begin is None:
        raise ValueError(f"`{demo.command}` printed no evidence")
    places = [lines[begin].index(name) for name in HEADING]
    rows = ["| Claim | Bound | Measured |", "|---|---|---|"]
    for line in lines[begin + 1 :]:
        verdict, *cells = (line[start:end].strip() for start, end in zip(places, [*places[1:], None], strict=True))
        if verdict == "holds":
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _costs(system: System, more: Told) -> Iterator[str]:
    text = system.path.read_text(encoding="utf-8")
    composed = composition(text) if "app" in system.defines else ""
    if composed:
        code = len([line for line in composed.splitlines() if line.strip()])
        yield f"- **Code**: {code} lines compose it; the file with its demo has {len(text.splitlines())}."
        needed = requirement(app_source(text, "The app.").modules).partition(">=")[0]
    else:
        needed = "mlpatterns[train]"
        yield f"- **Code**: the file with its demo has {len(text.splitlines())} lines."
    yield f"- **Installs**: `pip install '{TRAINED_BY.get(system.name, needed)}'`."
    yield f"- **Keeps**: {more.keeps}"
    if more.figures:
        links = ", ".join(f"[{text}](../../benchmarks/RESULTS.md#{anchor})" for text, anchor in more.figures)
        yield f"- **Measured**: {links}."


def _names(system: System) -> Iterator[str]:
    header = system.header
    yield f"- In the book: `{header.book}` ([what changed](../from-ml-system-in-actions.md#{system.name}))"
    yield f"- In mercari's collection of patterns: {header.mercari}"
    yield f"- In Japanese: {header.japanese}"
    others = (*system.aliases, *system.everyday)
    if others:
        yield f"- `mlpatterns find` knows it by: {', '.join(others)}"


def _record(names: list[str]) -> None:
    """Records the sessions of `names`, or of all, each in a folder of its own that begins empty."""
    about = told()
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    for system in systems():
        if names and system.name not in names:
            continue
        more = about[system.name]
        run = f"mlpatterns run {system.name}" if more.run is None else more.run
        first = takewhile(lambda line: line.startswith("mlpatterns train "), system.header.commands.splitlines())
        commands = more.before if system.header.group == "training" else [*first, *more.before]
        with TemporaryDirectory(prefix="session-") as folder:
            try:
                text = record(system.name, commands, run, more.ask, Path(folder, ".mlpatterns"))
            except RuntimeError as error:
                print(f"{system.name}: {error}", file=sys.stderr)  # noqa: T201 - the old session stays
                continue
        OUTPUTS.joinpath(f"{system.name}.txt").write_text(text, encoding="utf-8")
        print(system.name, flush=True)  # noqa: T201 - how it gets on


if __name__ == "__main__":
    if sys.argv[1:2] == ["--record"]:
        _record(sys.argv[2:])
    if missing := sorted(set(told()) - {path.stem for path in OUTPUTS.glob("*.txt")}):
        sys.exit(f"there is no session of {', '.join(missing)}; record it with --record NAME")
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
