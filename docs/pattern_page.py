"""The page of a pattern: made of what the catalogue says of it, of its code, and of its recorded session."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from docs.pattern_code import composition
from docs.sessions import Said, read_session
from mlpatterns.catalog import System, systems
from mlpatterns.scaffold.requirements import requirement
from mlpatterns.scaffold.source import app_source

__all__ = ["FOLDER", "OUTPUTS", "page"]

HERE = Path(__file__).parent
FOLDER = HERE / "patterns"
OUTPUTS = FOLDER / "outputs"
DRAWINGS = HERE / "pictures"
MADE = "<!-- Made by `python -m docs.make_patterns`; a test compares. It comes last, so that the title is found. -->"
TRAINED_BY = {"cifar10": "mlpatterns[torch,train]", "model_db": "mlpatterns[registry]"}
SERVER = re.compile(r"\bmlpatterns (run|work|edge serve)\b")
HEADING = ("Verdict", "Claim", "Bound", "Measured")


def page(system: System, figures: Sequence[tuple[str, str]] = ()) -> str:
    """The page of one system.

    Args:
        figures: pairs of a text and a section of benchmarks/RESULTS.md.

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
        *_second_terminal(header.commands),
        "## A session",
        f"What the commands print. {recorded} Identifiers, digests and times differ from run to run.",
        f"```console\n{_transcript(session)}\n```",
        "## What it proves",
        f"`{demo.command}` runs the system and measures what it claims; it exits with 1 if a claim does not hold.",
        _evidence(demo),
        "## What it costs",
        "\n".join(_costs(system, figures)),
        "## Its names",
        "\n".join(_names(system)),
        "## What comes next",
        "\n".join(_next(system)),
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


def _second_terminal(commands: str) -> Iterator[str]:
    """What to do where a server comes before the commands that ask it."""
    if any(SERVER.search(line) for line in commands.splitlines()):
        yield "A server goes on until Ctrl+C, so ask it from a second terminal, with `.venv/bin` on its path too."


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


def _costs(system: System, figures: Sequence[tuple[str, str]]) -> Iterator[str]:
    text = system.path.read_text(encoding="utf-8")
    composed = composition(text) if "app" in system.defines else ""
    if composed:
        code = len([line for line in composed.splitlines() if line.strip()])
        yield f"- **Code**: {code} lines compose it; the file with its demo has {len(text.splitlines())}."
        needed = requirement(app_source(text, "The app.").modules).partition(">=")[0]
    else:
        needed = "mlpatterns[train]"
        yield f"- **Code**: the file with its demo has {len(text.splitlines())} lines."
    yield f"- **Installs**: {_installed(TRAINED_BY.get(system.name, needed))}."
    yield f"- **Keeps**: {system.keeps}"
    if figures:
        links = ", ".join(f"[{text}](../../benchmarks/RESULTS.md#{anchor})" for text, anchor in figures)
        yield f"- **Measured**: {links}."


def _installed(needed: str) -> str:
    return f"`pip install '{needed}'`" if "torch" in needed else f"`{needed}`, which is there after `make up`"


def _names(system: System) -> Iterator[str]:
    header = system.header
    if header.book:
        yield f"- In the book: `{header.book}` ([what changed](../from-ml-system-in-actions.md#{system.name}))"
    if header.mercari:
        yield f"- In mercari's collection of patterns: {header.mercari}"
    yield f"- In Japanese: {header.japanese}"
    others = (*system.aliases, *system.everyday)
    if others:
        yield f"- `mlpatterns find` knows it by: {', '.join(others)}"


def _next(system: System) -> Iterator[str]:
    """Where a reader of the page goes from here."""
    if "build" in system.defines and "HotSwap" not in system.pieces:
        model = ", with `--model FILE.onnx` for a model of yours" if system.takes_model else ""
        command = f"`mlpatterns new DIR --pattern {system.name}`{model}"
        yield f"- A [project of your own](../guide.md#a-project-of-your-own), made of this one: {command}"
    after = {one.name: other for one, other in pairwise(systems())}.get(system.name)
    if after is not None:
        yield f"- The next system: [{after.header.title}]({after.name}.md)"
    yield "- [All systems](../../README.md#the-systems)"
