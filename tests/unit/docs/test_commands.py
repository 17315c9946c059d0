"""The commands in the documents: each has the words and flags that the command line has; the cheap ones run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from docs.error_sentences import ENTRY

from mlpatterns.cli import app, main

REPOSITORY = Path(__file__).parents[3]
PAGES = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "benchmarks/RESULTS.md") for path in REPOSITORY.glob(pattern)
)
BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`((?:[A-Z_]+=\S+ )*mlpatterns [^`]+)`(?!`)")
CHEAP = ("list", "find", "show", "settings")
ENDS = {"|", ";", "&&", "||", "&", ">"}  # of one command, in a line of several


def commands(page: str) -> list[list[str]]:
    """The words behind `mlpatterns` of each command in the blocks of a page."""
    return [words for block in BLOCK.findall(page) for line in lines(block) for words in of_line(line)]


def lines(block: str) -> Iterator[str]:
    """The lines of a block that are typed; where some begin with `$ `, the others are output."""
    typed = block.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in typed):
        typed = [line.removeprefix("$ ") for line in typed if line.startswith("$ ")]
    yield from (line for line in typed if re.search(r"(?:^|[ ;])mlpatterns ", line))


def of_line(line: str) -> Iterator[list[str]]:
    """The words of each mlpatterns command of a line, without variables in front of it and comments behind it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in ENDS:
            words.append(word)
            continue
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words[:1] == ["mlpatterns"]:
            yield words[1:]
        words = []


@cache
def entry() -> Any:
    """The command line; to make it from its functions takes a tenth of a second."""
    return typer.main.get_command(app)


def leaf(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words lead to, and the words behind its name.

    Raises:
        LookupError: there is no such command.
    """
    command = entry()
    while hasattr(command, "commands"):
        if not words or words[0] not in command.commands:
            raise LookupError(f"there is no command {words[:1]}; there is {', '.join(command.commands)}")
        command, words = command.commands[words[0]], words[1:]
    return command, words


def understood(words: list[str]) -> None:
    """Raises what the command line would say."""
    command, rest = leaf(words)
    command.make_context(" ".join(words), list(rest))


def unknown_flags(words: list[str]) -> list[str]:
    """The words that look like flags and are none of their command."""
    command, rest = leaf(words) if len(words) > 1 else (entry(), [])
    flags = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return [flag for flag in given if flag.replace("_", "-") not in flags | {"-h", "--help"}]


def found() -> list[tuple[str, list[str]]]:
    pages = {path: path.read_text(encoding="utf-8") for path in PAGES}
    return [(str(path.relative_to(REPOSITORY)), words) for path, text in pages.items() for words in commands(text)]


FOUND = found()


@pytest.mark.parametrize("page", sorted({page for page, _ in FOUND}))
def test_the_commands_of_a_page_are_commands_with_flags_that_there_are(page: str) -> None:
    for words in (words for name, words in FOUND if name == page):
        understood(words)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_commands_within_sentences_are_commands_with_flags_that_there_are(path: Path) -> None:
    text = ENTRY.sub("", path.read_text(encoding="utf-8"))  # which are sentences of errors
    written = [words for said in INLINE.findall(text) for words in of_line(re.sub(r"['|]", " ", said))]
    named = [words for words in written if not words[0].isupper() and "…" not in words[0]]
    assert [(words, flags) for words in named if (flags := unknown_flags(words))] == []


@pytest.mark.parametrize(
    "words", sorted({tuple(words) for _, words in FOUND if words[0] in CHEAP and len(words) < 3}), ids=" ".join
)
def test_a_cheap_command_runs(words: tuple[str, ...], capsys: pytest.CaptureFixture[str], tmp_path: Path,
                              monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("MLPATTERNS_HOME", str(tmp_path))
    assert main(words) == 0
    assert capsys.readouterr().out


def test_most_commands_are_found() -> None:
    assert len(FOUND) > 100
    assert {"run", "train", "demo", "new", "registry", "load", "swap", "image"} <= {words[0] for _, words in FOUND}


@pytest.mark.parametrize("text", ["mlpatterns fly", "mlpatterns run web_single --wings 2", "mlpatterns registry fly"])
def test_a_wrong_command_would_be_noticed(text: str) -> None:
    (words,) = commands(f"```sh\n{text}\n```\n")
    with pytest.raises(Exception, match=r"no command|No such option"):
        understood(words)


def test_a_line_of_several_commands_is_taken_apart() -> None:
    assert list(of_line("A=1 mlpatterns show x; sleep 1; mlpatterns log y | grep '; z' # mlpatterns")) == [
        ["show", "x"], ["log", "y"],
    ]  # fmt: skip
