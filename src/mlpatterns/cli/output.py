"""Prints the output of commands: tables with colour on a terminal, plain lines to a file or a pipe."""

from __future__ import annotations

import codecs
import io
import logging
import sys
from collections.abc import Sequence
from unicodedata import east_asian_width

__all__ = ["brief_logs", "escape_unprintable", "note", "on_terminal", "say", "table"]


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def escape_unprintable() -> None:
    r"""Makes standard output accept any text: characters that its encoding lacks are printed as ``\u30d0``.

    Standard error does the same by default. In the C locale without UTF-8 mode and in legacy locales, the encoding
    lacks most characters. Bytes of a file name that are not valid text have no encoding at all.
    """
    output = sys.stdout
    if not isinstance(output, io.TextIOWrapper):
        return
    unicode = codecs.lookup(output.encoding).name.startswith("utf-")
    if output.errors == "strict" or (output.errors == "surrogateescape" and not unicode):
        output.reconfigure(errors="backslashreplace")


def say(text: str = "") -> None:
    """Prints one line of the result to standard output."""
    print(text)


def note(text: str) -> None:
    """Prints one line about the progress to standard error."""
    print(text, file=sys.stderr, flush=True)


class _Brief(logging.Formatter):
    """Formats a record as one line: with the text of its error, but without the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        words = "" if error is None else f": {type(error).__name__}: {error}"
        return " ".join(f"{record.getMessage()}{words}".split())


def brief_logs() -> None:
    """Prints log records in one line each, unless logging is set up.

    It is for commands that load a user's model: a traceback would show only frames of mlpatterns."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Brief())


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, heading: bool = False) -> None:
    """Prints rows under their columns.

    Args:
        heading: print the names of the columns also in plain output; a terminal always shows them.
    """
    if on_terminal():
        _rich(columns, rows)
        return
    shown = [columns, *rows] if heading else list(rows)
    widths = [max((_cells(row[index]) for row in shown), default=0) for index in range(len(columns))]
    for row in shown:
        padded = [text + " " * (width - _cells(text)) for text, width in zip(row, widths, strict=True)]
        print("  ".join(padded).rstrip())


def _cells(text: str) -> int:
    """The width of `text` in columns of a terminal; a wide character takes two."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        # The first column is a name, which must not be wrapped, so that the user can copy it.
        drawn.add_column(column, no_wrap=index == 0, overflow="fold", style="bold" if index == 0 else "")
    for row in rows:
        drawn.add_row(*[Text(text) for text in row])
    Console().print(drawn)
