"""Shared state in PostgreSQL: what its URL may be. How it behaves is in contracts/, under faults in integration/."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import closing

import pytest

from mlpatterns.errors import MissingExtra, SettingsError, StoreDown
from mlpatterns.stores import postgres_session
from mlpatterns.stores.control_postgres import PostgresControl
from mlpatterns.testing import free_port


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:se/cret@host:no/db", "postgresql://me:secret@host/db?nonsense=1", "postgresql://me:se%zzcret@h/"],
)
def test_a_malformed_url_is_one_sentence_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"is at postgresql://USER:.*, not postgresql://me:\*\*\*@h") as caught:
        asyncio.run(PostgresControl.open(url))
    assert "cret" not in str(caught.value)


def test_one_that_is_down_at_start_is_one_sentence_without_its_password() -> None:
    port = free_port()
    with pytest.raises(
        StoreDown, match=rf"control at postgresql.psycopg://me:\*\*\*@127.0.0.1:{port}/x cannot be"
    ) as caught:
        asyncio.run(PostgresControl.open(f"postgresql+psycopg://me:secret@127.0.0.1:{port}/x"))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_that_accepts_and_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_session, "SECONDS", 0.1)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(StoreDown, match="there is no answer in time"):
            asyncio.run(PostgresControl.open(f"postgresql://me@127.0.0.1:{port}/x"))


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"control in PostgreSQL needs an extra: pip install 'mlpatterns\[postgres"):
        asyncio.run(PostgresControl.open("postgresql://127.0.0.1:1/x"))
