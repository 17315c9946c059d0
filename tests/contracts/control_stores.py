"""The contract of the backends of a ControlStore. The test of a backend inherits the class and opens the backend."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import control_writer
from core import read
from mlpatterns.errors import Conflict, InvalidInput, TooLarge
from mlpatterns.interfaces import ControlStore
from mlpatterns.stores import open_store

Work = Callable[[ControlStore], Awaitable[None]]


def shown(value: Any) -> str:
    """The name of a value in a test id, without a memory address."""
    return repr(value)[:20].partition(" at ")[0]


class ControlStoreContract:
    """Inherit it and define `url`, a fixture with the URL of a new, empty store.

    Attributes:
        shared: whether other processes can read what one process wrote.
    """

    shared = True

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError("a backend's test gives the URL of a fresh store")

    @pytest.fixture(autouse=True)
    def _patient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        control_writer.be_patient(monkeypatch.setattr)

    @pytest.fixture
    def run(self, url: str) -> Callable[[Callable[[Any], Awaitable[None]]], None]:
        def run(work: Callable[[ControlStore], Awaitable[None]]) -> None:
            async def main() -> None:
                store: Any = await open_store(ControlStore, url)
                try:
                    await work(store)
                finally:
                    await store.close()

            asyncio.run(main())

        return run

    def test_what_was_never_written_is_none(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            assert await read(store, "split") is None

        run(work)

    def test_a_document_is_read_as_it_was_written_and_its_revision_grows_by_one(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            value = {"arms": {"a": 0.5, "b": 0.5}, "note": "日本語", "on": True, "list": [1, None]}
            written = await store.put("split", value, expected=None, by="me")
            assert (written.value, written.revision) == (value, 1)
            assert await read(store, "split") == written
            again = await store.put("split", {"arms": {}}, expected=1, by="me")
            assert again.revision == 2
            assert await read(store, "split") == again

        run(work)

    @pytest.mark.parametrize("expected", [None, 0, 1, 3])
    def test_a_write_on_another_revision_is_a_conflict_and_changes_nothing(
        self, run: Any, expected: int | None
    ) -> None:
        async def work(store: ControlStore) -> None:
            await store.put("split", 1, expected=None, by="me")
            stored = await store.put("split", 2, expected=1, by="me")
            with pytest.raises(Conflict):
                await store.put("split", 3, expected=expected, by="you")
            assert await read(store, "split") == stored

        run(work)

    def test_a_first_write_that_expects_a_revision_is_a_conflict(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            with pytest.raises(Conflict):
                await store.put("split", 1, expected=1, by="me")
            assert await read(store, "split") is None

        run(work)

    def test_of_many_writers_at_once_exactly_one_wins_each_revision(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            async def increment() -> None:
                while True:
                    document = await read(store, "count")
                    expected = document.revision if document else None
                    try:
                        await store.put("count", (document.value if document else 0) + 1, expected=expected, by="me")
                    except Conflict:
                        continue
                    return

            await asyncio.gather(*(increment() for _ in range(20)))
            document = await read(store, "count")
            assert document is not None
            assert (document.value, document.revision) == (20, 20)

        run(work)

    def test_a_value_that_was_read_or_written_is_not_changed_by_what_the_caller_does_to_it(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            value = {"arms": ["a"]}
            await store.put("split", value, expected=None, by="me")
            value["arms"].append("b")
            found = await read(store, "split")
            assert found is not None
            assert found.value == {"arms": ["a"]}
            found.value["arms"].append("c")
            again = await read(store, "split")
            assert again is not None
            assert again.value == {"arms": ["a"]}

        run(work)

    def test_keys_do_not_touch_each_other(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            await store.put("a", 1, expected=None, by="me")
            await store.put("b", 2, expected=None, by="me")
            first, second = await read(store, "a"), await read(store, "b")
            assert first is not None
            assert second is not None
            assert (first.value, first.revision, second.value, second.revision) == (1, 1, 2, 1)

        run(work)

    def test_the_audit_says_who_wrote_what_and_when_newest_first(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            assert await store.history("split") == []
            began = time.time()
            for number, by in enumerate(("me", "you", "日本")):
                await store.put("split", {"n": number}, expected=number or None, by=by)
            await store.put("other", 7, expected=None, by="them")
            changes = await store.history("split")
            assert [(it.value, it.revision, it.by) for it in changes] == [
                ({"n": 2}, 3, "日本"),
                ({"n": 1}, 2, "you"),
                ({"n": 0}, 1, "me"),
            ]
            assert began - 60 < changes[2].at <= changes[1].at <= changes[0].at < time.time() + 60
            assert await store.history("split", limit=2) == changes[:2]
            assert await store.history("split", limit=0) == []

        run(work)

    def test_a_write_that_was_refused_is_not_in_the_audit(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            await store.put("split", 1, expected=None, by="me")
            with pytest.raises(Conflict):
                await store.put("split", 2, expected=None, by="you")
            assert [it.by for it in await store.history("split")] == ["me"]

        run(work)

    def test_the_audit_is_bounded_and_revisions_go_on_growing(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        async def work(store: ControlStore) -> None:
            monkeypatch.setattr(sys.modules[type(store).__module__], "KEPT", 5)
            await store.put("other", 0, expected=None, by="me")
            for number in range(12):
                await store.put("split", number, expected=number or None, by="me")
            assert [it.revision for it in await store.history("split")] == [12, 11, 10, 9, 8]
            assert len(await store.history("other")) == 1

        run(work)

    @pytest.mark.parametrize(
        "value",
        [None, True, 0, -1.5, 2**53, "", "a\0b", [], {}, {"": {"深": [[[1]]]}}, "x" * 60_000],
        ids=shown,
    )
    def test_what_json_can_say_is_read_as_it_was_written(self, run: Any, value: Any) -> None:
        async def work(store: ControlStore) -> None:
            written = await store.put("any", value, expected=None, by="me")
            found = await read(store, "any")
            assert found == written
            assert found is not None
            assert (found.value, type(found.value)) == (value, type(value))

        run(work)

    @pytest.mark.parametrize(
        "value",
        [float("nan"), {"w": [float("inf")]}, object(), "\ud800"],
        ids=shown,
    )
    def test_what_json_cannot_say_is_refused_with_a_sentence(self, run: Any, value: Any) -> None:
        async def work(store: ControlStore) -> None:
            with pytest.raises(InvalidInput, match="'any' cannot be written as JSON"):
                await store.put("any", value, expected=None, by="me")
            assert await read(store, "any") is None

        run(work)

    def test_values_and_names_are_bounded(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            with pytest.raises(TooLarge, match="has 65538 bytes as JSON; it may have 65536"):
                await store.put("any", "x" * 65_536, expected=None, by="me")
            for name in ("", "x" * 257, "a\nb", "a\0", "\ud800"):
                with pytest.raises(InvalidInput, match="1 to 256 characters"):
                    await store.put(name, 1, expected=None, by="me")
                with pytest.raises(InvalidInput, match="1 to 256 characters"):
                    await store.put("any", 1, expected=None, by=name)
            assert await store.history("any") == []

        run(work)

    @pytest.mark.parametrize("key", ["hot_swap/iris@champion", "a%b_c*?[d]:{e}' \"", "日本 語", "x" * 256])
    def test_a_key_is_only_a_name(self, run: Any, key: str) -> None:
        async def work(store: ControlStore) -> None:
            await store.put(key, 1, expected=None, by=key)
            await store.put(key + "2" if len(key) < 256 else "2", 2, expected=None, by="me")
            changes = await store.history(key)
            assert [(it.value, it.by) for it in changes] == [(1, key)]

        run(work)

    def test_what_was_written_is_there_when_it_is_opened_again(self, run: Any) -> None:
        async def write(store: ControlStore) -> None:
            await store.put("split", 7, expected=None, by="me")

        async def read_back(store: ControlStore) -> None:
            document = await read(store, "split")
            assert (document is not None) == self.shared

        run(write)
        run(read_back)

    # ---- several processes ---------------------------------------------------------------------------------------

    def test_fifty_writers_of_two_processes_get_fifty_revisions(self, run: Any, url: str) -> None:
        self.needs_sharing()
        control_writer.run_all(url, ["count", "count"])

        async def work(store: ControlStore) -> None:
            document = await read(store, "count")
            assert document is not None
            assert (document.value, document.revision) == (50, 50)
            changes = await store.history("count", limit=100)
            assert [(it.revision, it.value) for it in changes] == [(n, n) for n in range(50, 0, -1)]
            assert {it.by for it in changes} == {f"0-{n}" for n in range(25)} | {f"1-{n}" for n in range(25)}

        run(work)

    @pytest.mark.slow  # each change waits until it is on disk, and half of them are retried
    def test_many_changes_of_a_shared_document_from_two_processes_lose_none(self, run: Any, url: str) -> None:
        self.needs_sharing()
        control_writer.run_all(url, ["change", "change"])
        each, both = control_writer.CHANGES, 2 * control_writer.CHANGES

        async def work(store: ControlStore) -> None:
            document = await read(store, "shared")
            assert document is not None
            assert (document.value, document.revision) == (both, both)
            changes = await store.history("shared", limit=both)
            assert [it.value for it in changes] == list(range(both, 0, -1))
            assert [sum(it.by == number for it in changes) for number in "01"] == [each, each]

        run(work)

    def test_a_change_is_seen_by_another_process(self, run: Any, url: str) -> None:
        self.needs_sharing()

        async def work(store: ControlStore) -> None:
            await store.put("seen", "old", expected=None, by="me")
            with control_writer.started(url, "watch") as watcher:
                assert await asyncio.to_thread(watcher.line) == "old"
                await store.put("seen", "new", expected=1, by="me")
                assert await asyncio.to_thread(watcher.line) == "new"

        run(work)

    def test_a_kill_9_of_a_writer_leaves_the_document_whole_and_open_for_others(self, run: Any, url: str) -> None:
        self.needs_sharing()
        with control_writer.started(url, "forever") as writer:
            assert writer.line() == "20"
            writer.kill()

        async def work(store: ControlStore) -> None:
            document = await read(store, "forever")
            assert document is not None
            assert document.revision >= 20
            assert document.value == control_writer.large(document.revision)
            changes = await store.history("forever", limit=1000)
            assert [it.revision for it in changes] == list(range(document.revision, 0, -1))
            again = await store.put("forever", "mine", expected=document.revision, by="me")
            assert again.revision == document.revision + 1

        run(work)

    def needs_sharing(self) -> None:
        if not self.shared:
            pytest.skip("what it holds is of one process")
