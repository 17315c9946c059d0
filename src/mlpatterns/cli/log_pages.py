"""Prints the records of a log with their feedback, page by page, for `mlpatterns log`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from mlpatterns.cli.output import note, say, table
from mlpatterns.errors import Unavailable
from mlpatterns.redaction import redact
from mlpatterns.stores import offers, open_store
from mlpatterns.stores.log import Feedback, LogPage, LogQuery, LogStore, Record
from mlpatterns.stores.sqlite_file import sqlite_path
from mlpatterns.user_errors import UserError

__all__ = ["show"]

LOOK_EVERY = 0.5  # seconds between two checks for new records
PAGE = 1000
WIDEST = 60  # characters of a column of the table
COLUMNS = ("Prediction", "Time", "Status", "Model", "ms", "Inputs", "Outputs", "Feedback")

Found = tuple[Record, Sequence[Feedback]]


async def show(url: str, names: Sequence[str], since: float | None, limit: int, *, follow: bool, as_json: bool) -> None:
    """Prints the records of a log.

    Args:
        names: the first parts of the paths of the pieces whose records are printed.
        limit: the number of newest records to print; 0 prints all.

    Raises:
        UserError: the log cannot be read.
    """
    store = await _open_log(url)
    write, some = _lines if as_json else _table, False
    try:
        async for records in _pages(store, names, LogQuery(since=since), limit, follow=follow):
            some = some or bool(records)
            write(
                [
                    (record, (await store.read_feedback(prediction_id=record.prediction_id)).feedback)
                    for record in records
                ]
            )
        if not some:
            note(f"there is no record of {' or '.join(names)} in {redact(url)}{' since then' if since else ''}")
    except Unavailable as error:
        raise UserError(str(error)) from error
    finally:
        await store.close()


async def _pages(
    store: LogStore, names: Sequence[str], query: LogQuery, limit: int, *, follow: bool
) -> AsyncIterator[Sequence[Record]]:
    """Records in order: the newest `limit` or all, and with `follow` every later record."""
    path = names[0] if len(names) == 1 else None
    if limit:
        page = await _page(store, names, replace(query, path=path, limit=limit, newest=True))
        yield page.records
        query = replace(query, after=page.after)
    while not limit or follow:
        page = await _page(store, names, replace(query, path=path, limit=PAGE))
        if page.records:
            yield page.records
        if page.after > query.after:
            query = replace(query, after=page.after)
        elif follow:
            await asyncio.sleep(LOOK_EVERY)
        else:
            return


async def _page(store: LogStore, names: Sequence[str], query: LogQuery) -> LogPage:
    page = await store.read(query)
    mine = tuple(record for record in page.records if record.path.split("/")[0] in names)
    return LogPage(mine, page.after)


async def _open_log(url: str) -> Any:
    """Opens the store of the log; an SQLite file must exist already."""
    scheme, base = url.partition(":")[0], url.partition("?")[0]
    if scheme == "memory":
        raise UserError("the log is only in the memory of the server: set MLPATTERNS_LOG to sqlite:///FILE")
    if not offers(LogStore, url) and scheme in ("file", "stdout"):
        raise UserError(
            f"the log {redact(url)} consists of lines of JSON, which this command does not read: use jq, tail -f"
        )
    if scheme == "sqlite" and not sqlite_path(base, "a log").exists():
        raise UserError(f"there is no log at {redact(url)} yet: a server with a PredictionLog makes it")
    return await open_store(LogStore, url)


# ---- printing ----


def _lines(found: Sequence[Found]) -> None:
    for record, feedback in found:
        fields = msgspec.to_builtins(record)
        say(msgspec.json.encode({**fields, "feedback": {told.name: told.value for told in feedback}}).decode())


def _table(found: Sequence[Found]) -> None:
    rows = [_row(record, feedback) for record, feedback in found]
    if rows:
        table(COLUMNS, rows)


def _row(record: Record, feedback: Sequence[Feedback]) -> tuple[str, ...]:
    kind = "" if record.purpose == "request" else f" ({record.purpose})"
    shadow = " shadow" if record.role == "shadow" else ""
    return (
        record.prediction_id,
        datetime.fromtimestamp(record.at).isoformat(timespec="milliseconds"),
        f"{record.status}{kind}{shadow}",
        f"{record.model}:{record.version}" if record.model else "",
        f"{1000 * record.seconds:.2f}",
        _short(record.inputs),
        _short(record.outputs) if record.status in ("done", "accepted") else _short(f"{record.code}: {record.error}"),
        ", ".join(f"{told.name}={_short(told.value)}" for told in feedback),
    )


def _short(value: Any) -> str:
    """A value as short JSON in ASCII, because other characters of a client's text could control the terminal."""
    if value is None:
        return ""
    if isinstance(value, dict) and len(value) == 1:  # the only tensor
        value = next(iter(value.values()))
    text = json.dumps(_rounded(value), separators=(",", ":"))
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return {key: _rounded(each) for key, each in value.items()} if isinstance(value, dict) else value
