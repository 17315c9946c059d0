"""Reads targets from files: a body, the rows of a CSV file, or a target file of vegeta."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mlpatterns.load.target import METHODS, Target
from mlpatterns.user_errors import UserError, WrongUse

__all__ = ["csv_bodies", "parse_targets", "read_file", "read_targets"]

MOST_BYTES, MOST_TARGETS = 64 << 20, 1_000_000
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)  # the number syntax of JSON
NAME = re.compile(r"[^\W\d][\w .()/%-]*")
STARTS = re.compile(rf"({'|'.join(METHODS)})[ \t]")


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        WrongUse: it cannot be read, or is larger than 64 MiB.
    """
    try:
        with path.open("rb") as file:
            found = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise WrongUse(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(found) > MOST_BYTES:
        raise WrongUse(f"{path} is larger than {MOST_BYTES >> 20} MiB; load with fewer or smaller requests")
    return found


def csv_bodies(content: bytes, name: str) -> list[bytes]:
    """One body `{"data": [row]}` for each row of a CSV in UTF-8.

    If the first row has only names, each row becomes an object by name. Cells that are JSON numbers become numbers. All
    others stay text, so that a key such as 0007 keeps its zeros. A single column of text gives `{"data": ["0007"]}`.

    Args:
        name: of the file, for error texts.

    Raises:
        WrongUse: it is not a CSV, has no rows, or has rows of different lengths.
    """
    rows = _rows(content, name)
    header = rows[0] if all(NAME.fullmatch(cell) for cell in rows[0]) else None
    if header is not None and len(set(header)) != len(header):
        raise WrongUse(f"{name} names a column twice in its first row")
    values = rows[1:] if header is not None else rows
    if not values:
        raise WrongUse(f"{name} has no row below its column names")
    return [msgspec.json.encode({"data": [_row(row, header)]}) for row in values]


def _rows(content: bytes, name: str) -> list[list[str]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise WrongUse(f"{name} is not CSV in UTF-8: {error}") from error
    if not rows:
        raise WrongUse(f"{name} has no row")
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != len(rows[0])), None)
    if wrong is not None:
        raise WrongUse(f"{name} has {len(rows[0])} columns, but {len(rows[wrong - 1])} in its row {wrong}")
    return rows


def _row(cells: Sequence[str], header: Sequence[str] | None) -> Any:
    values = [_value(cell.strip()) for cell in cells]
    if header is not None:
        return dict(zip((name.strip() for name in header), values, strict=True))
    return values[0] if len(values) == 1 and isinstance(values[0], str) else values


def _value(cell: str) -> int | float | str:
    if not NUMBER.fullmatch(cell):
        return cell
    if re.fullmatch(r"-?\d{1,18}", cell):
        return int(cell)
    return float(cell) if math.isfinite(float(cell)) else cell  # JSON has no infinity


def read_targets(path: Path) -> list[Target]:
    """The targets of one of vegeta's target files; see `parse_targets`.

    Raises:
        WrongUse: the file or a body file cannot be read or is not valid.
    """
    try:
        text = read_file(path).decode()
    except UnicodeDecodeError as error:
        raise WrongUse(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error
    return parse_targets(text, path.name, path.parent)


def parse_targets(text: str, name: str, folder: Path) -> list[Target]:
    """Targets in vegeta's HTTP format.

    A target is a line `METHOD URL`, then any lines `Name: value`, then, if it has a body, `@FILE`, relative to
    `folder`. It ends with its body, a blank line or the next target. Lines that begin with # are ignored.

    Raises:
        WrongUse: a line is not valid, or a body cannot be read; the text names it.
    """
    found: list[Target] = []
    bodies: dict[str, bytes] = {}  # a file that several targets name is read once
    for number, block in _blocks(text):
        if len(found) == MOST_TARGETS:
            raise WrongUse(f"{name} has more than {MOST_TARGETS:,} targets")
        found.append(_target(block, f"{name}, line {number}", folder, bodies))
    if not found:
        raise WrongUse(f"{name} has no target; write lines like GET http://127.0.0.1:8000/predict/test")
    return found


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of each target, with the number of its first line."""
    block: list[str] = []
    begin = 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip(" \t\r")
        if line.startswith("#"):
            continue
        if block and (not line or STARTS.match(line) or block[-1].startswith("@")):
            yield begin, block
            block = []
        if line:
            begin = number if not block else begin
            block.append(line)
    if block:
        yield begin, block


def _target(block: Sequence[str], where: str, folder: Path, bodies: dict[str, bytes]) -> Target:
    method, _, url = block[0].partition(" ")
    headers, body = [], b""
    for line in block[1:]:
        if line.startswith("@"):
            body = _body(line[1:].strip(), where, folder, bodies)
            continue
        key, colon, value = line.partition(":")
        if not colon or not value.strip():
            raise WrongUse(f"{where}: {line[:100]!r} is not a header; write one like Content-Type: application/json")
        headers.append((key.rstrip(), value.strip()))
    try:
        return Target(url.strip(), method, tuple(headers), body)
    except UserError as error:
        raise WrongUse(f"{where}: {error}") from error


def _body(file: str, where: str, folder: Path, bodies: dict[str, bytes]) -> bytes:
    if not file or "\0" in file:
        raise WrongUse(f"{where}: write the body's file after the @")
    if file not in bodies:
        try:
            bodies[file] = read_file(folder / file)
        except UserError as error:
            raise WrongUse(f"{where}: {error}") from error
    return bodies[file]
