"""Asking in a thread of its own: a registry that hangs is said so within seconds, and stops nobody."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from threading import Event

import pytest

from hanging import hanging
from mlpatterns.model_db.register import Registration, register
from mlpatterns.references import RegisteredReference
from mlpatterns.registry import threaded
from mlpatterns.registry.threaded import ThreadedRegistry
from mlpatterns.settings import Settings
from mlpatterns.stores.registry import VersionFiles
from mlpatterns.user_errors import RegistryDown, UserError

SHAPES = RegisteredReference("shapes")
ANSWER = VersionFiles(1, "folder", "digest")


class Stuck:
    """An Asker that answers when it is let go."""

    def __init__(self) -> None:
        self.go, self.asked, self.closed = Event(), 0, Event()

    def find(self, _: RegisteredReference) -> VersionFiles:
        self.asked += 1
        self.go.wait()
        return ANSWER

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> list[Stuck]:
    made = list[Stuck]()

    def make(_: str) -> Stuck:
        made.append(Stuck())
        return made[-1]

    monkeypatch.setattr(threaded, "_connect", make)
    monkeypatch.setattr(threaded, "PATIENCE", 0.05)
    return made


def test_the_store_asks_in_one_thread_of_its_own(tmp_path: Path, entry: Registration, url: str) -> None:
    register(entry, Settings(home=tmp_path, registry=url))

    async def main() -> None:
        store = await ThreadedRegistry.open(url)
        answers = await asyncio.gather(*(store.find(SHAPES) for _ in range(20)))
        assert {answer.version for answer in answers} == {1}
        assert [thread.name for thread in threading.enumerate()].count("registry") == 1
        await store.close()

    asyncio.run(main())


def test_opening_fails_on_a_malformed_url_only() -> None:
    async def main() -> None:
        await (await ThreadedRegistry.open("postgresql://127.0.0.1:1/models")).close()
        with pytest.raises(UserError, match="no registry at"):
            await ThreadedRegistry.open("nonsense")

    asyncio.run(main())


def test_a_question_that_is_not_answered_in_time_is_left_behind_and_the_next_asks_anew(stuck: list[Stuck]) -> None:
    async def main() -> None:
        store = await ThreadedRegistry.open("sqlite:///x.db")
        with pytest.raises(RegistryDown, match=r"the registry at sqlite:///x\.db did not answer in 0\.05 s"):
            await store.find(SHAPES)
        question = asyncio.create_task(store.find(SHAPES))
        await asyncio.sleep(0)
        stuck[1].go.set()
        assert await question == ANSWER
        stuck[0].go.set()
        assert stuck[0].closed.wait(10)
        await store.close()
        assert stuck[1].closed.wait(10)

    asyncio.run(main())


def test_no_more_than_a_few_threads_are_left_behind(stuck: list[Stuck]) -> None:
    registry = ThreadedRegistry("sqlite:///x.db")
    for _ in range(2 * threaded.MOST_LEFT):
        with pytest.raises(RegistryDown):
            registry.find_blocking(SHAPES)
    assert len(stuck) == threaded.MOST_LEFT
    for one in stuck:
        one.go.set()
        assert one.closed.wait(10)
    registry.end()


@pytest.mark.slow  # the patience of each driver with a server that accepts and never answers
@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "http"])
def test_a_registry_that_hangs_is_down_within_seconds_and_lets_the_process_end(scheme: str, tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from mlpatterns.registry.locate import locate; from mlpatterns.settings import Settings;"
        "locate('shapes', Settings(home=pathlib.Path(sys.argv[1]), registry=sys.argv[2]))"
    )
    with hanging() as port:
        command = [sys.executable, "-c", code, str(tmp_path), f"{scheme}://ann:s3cret@127.0.0.1:{port}/models"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert f"RegistryDown: the registry at {scheme}://ann:***@127.0.0.1:{port}/models" in done.stderr
    assert "s3cret" not in done.stderr.splitlines()[-1]
