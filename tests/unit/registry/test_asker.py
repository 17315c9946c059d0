"""Asking the registry's database: one child for all questions, and what is said when it is not there."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlpatterns.errors import RegistryDown, UnknownName
from mlpatterns.model_db import lookup
from mlpatterns.model_db.register import Entry, register
from mlpatterns.references import RegisteredReference
from mlpatterns.registry import asker as module
from mlpatterns.registry.asker import Asker
from mlpatterns.registry.database import DatabaseRegistry

SHAPES = RegisteredReference("shapes")


@pytest.fixture
def asker(tmp_path: Path, entry: Entry) -> Iterator[Asker]:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    register(entry, home=tmp_path, url=url)
    with Asker(url) as made:
        yield made


def child(asker: Asker) -> int:
    assert asker._child is not None
    return asker._child.pid


def test_one_child_answers_all_questions_and_sees_what_changed(asker: Asker, tmp_path: Path, entry: Entry) -> None:
    assert asker.find(SHAPES).version == 1
    first = child(asker)
    register(entry, home=tmp_path, url=asker._url)
    assert asker.find(SHAPES).version == 2
    with pytest.raises(UnknownName, match="its latest is 2"):
        asker.find(RegisteredReference("shapes", version=3))
    assert child(asker) == first


def test_a_child_that_was_killed_is_replaced(asker: Asker) -> None:
    asker.find(SHAPES)
    first = child(asker)
    os.kill(first, signal.SIGKILL)
    assert asker.find(SHAPES).version == 1
    assert child(asker) != first


def test_a_child_that_nobody_asks_ends_by_itself(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(lookup, "IDLE", 0.01)
    assert list(lookup.questions(reader)) == []
    os.close(writer)
    os.close(reader)


def test_closing_ends_the_child_and_may_come_twice(asker: Asker) -> None:
    asker.find(SHAPES)
    process = asker._child
    assert process is not None
    asker.close()
    asker.close()
    assert process.poll() is not None


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("raise SystemExit('no such module')", "could not be read: no such module"),
        ("raise SystemExit(3)", "could not be read: exit code 3"),
        ("input(); print('{}'); input()", "could not be read: it said what is no answer"),
    ],
)
def test_a_child_that_breaks_is_a_sentence(
    asker: Asker, monkeypatch: pytest.MonkeyPatch, code: str, sentence: str
) -> None:
    monkeypatch.setattr(module, "CHILD", (sys.executable, "-c", code))
    with pytest.raises(RegistryDown, match=sentence):
        asker.find(SHAPES)


def test_a_child_that_hangs_is_ended(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHILD", (sys.executable, "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    with pytest.raises(RegistryDown, match=r"did not answer in 0\.1 s"):
        asker.find(SHAPES)
    assert asker._child is None


def test_the_store_asks_in_a_thread_of_its_own(asker: Asker) -> None:
    async def main() -> None:
        store = await DatabaseRegistry.open(asker._url)
        try:
            assert (await store.find(SHAPES)).version == 1
        finally:
            await store.close()

    asyncio.run(main())
