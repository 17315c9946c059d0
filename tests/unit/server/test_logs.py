"""Which lines of other libraries come into the log."""

from __future__ import annotations

import logging

import pytest

from mlpatterns.server.logs import configure_logs
from mlpatterns.settings import Settings


def test_a_driver_does_not_repeat_what_its_store_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """psycopg warns once for each connection to a server that hangs, and names neither the store nor the system."""
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.root.level)
    monkeypatch.setattr(logging.getLogger("psycopg"), "level", logging.NOTSET)
    configure_logs(Settings())
    assert not logging.getLogger("psycopg").isEnabledFor(logging.WARNING)
    assert logging.getLogger("psycopg").isEnabledFor(logging.ERROR)
