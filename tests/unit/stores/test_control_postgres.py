"""Shared state in PostgreSQL: what its URL may be. How it behaves is in contracts/, under faults in integration/."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from contextlib import closing
from unittest.mock import AsyncMock

import pytest

from core import read
from mlpatterns.errors import Unavailable
from mlpatterns.stores import postgres_session
from mlpatterns.stores.control_postgres import PostgresControl
from mlpatterns.testing import free_port
from mlpatterns.user_errors import MissingExtra, SettingsError


async def first_read(url: str) -> None:
    store = await PostgresControl.open(url)
    try:
        await read(store, "a")
    finally:
        await store.close()


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:se/cret@host:no/db", "postgresql://me:secret@host/db?nonsense=1", "postgresql://me:se%zzcret@h/"],
)
def test_a_malformed_url_is_one_sentence_without_its_password(url: str) -> None:
    with pytest.raises(
        SettingsError, match=r"needs a URL like postgresql://USER:.*, not postgresql://me:\*\*\*@h"
    ) as caught:
        asyncio.run(PostgresControl.open(url))
    assert "cret" not in str(caught.value)


def test_one_that_is_down_opens_and_its_first_call_is_unavailable_without_its_password() -> None:
    port = free_port()
    with pytest.raises(Unavailable, match="the control store does not answer") as caught:
        asyncio.run(first_read(f"postgresql+psycopg://me:secret@127.0.0.1:{port}/x"))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_that_accepts_and_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_session, "SECONDS", 0.1)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Unavailable, match="the control store does not answer"):
            asyncio.run(first_read(f"postgresql://me@127.0.0.1:{port}/x"))


def test_a_call_whose_caller_has_left_fails_without_a_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_connection: object) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError("connection refused")

    async def main() -> None:
        session = postgres_session.PostgresSession("postgresql://127.0.0.1:1/x", "control")
        session._connect = AsyncMock()  # type: ignore[method-assign]
        calling = asyncio.create_task(session.run(fail))
        await asyncio.sleep(0.01)
        calling.cancel()
        await asyncio.sleep(0.01)
        gc.collect()  # asyncio logs what no one retrieved when the task is collected
        await session.close()

    asyncio.run(main())
    assert caplog.messages == []


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"control in PostgreSQL needs an extra: pip install 'mlpatterns\[postgres"):
        asyncio.run(PostgresControl.open("postgresql://127.0.0.1:1/x"))
