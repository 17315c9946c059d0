"""What every backend of a store must do. A backend's test inherits the class and says how to open one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mlpatterns.errors import Conflict
from mlpatterns.predictor import ControlStore
from mlpatterns.stores import open_store


class ControlStoreContract:
    """Inherit it and give `url`, a fixture that names a fresh, empty store."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError("a backend's test gives the URL of a fresh store")

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
            assert await store.get("split") is None

        run(work)

    def test_a_document_is_read_as_it_was_written_and_its_revision_grows_by_one(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            value = {"arms": {"a": 0.5, "b": 0.5}, "note": "日本語", "on": True, "list": [1, None]}
            written = await store.put("split", value, expected=None, by="me")
            assert (written.key, written.value, written.revision) == ("split", value, 1)
            assert await store.get("split") == written
            again = await store.put("split", {"arms": {}}, expected=1, by="me")
            assert again.revision == 2
            assert await store.get("split") == again

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
            assert await store.get("split") == stored

        run(work)

    def test_a_first_write_that_expects_a_revision_is_a_conflict(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            with pytest.raises(Conflict):
                await store.put("split", 1, expected=1, by="me")
            assert await store.get("split") is None

        run(work)

    def test_of_many_writers_at_once_exactly_one_wins_each_revision(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            async def increment() -> None:
                while True:
                    document = await store.get("count")
                    expected = document.revision if document else None
                    try:
                        await store.put("count", (document.value if document else 0) + 1, expected=expected, by="me")
                    except Conflict:
                        continue
                    return

            await asyncio.gather(*(increment() for _ in range(20)))
            document = await store.get("count")
            assert document is not None
            assert (document.value, document.revision) == (20, 20)

        run(work)

    def test_a_value_that_was_read_or_written_is_not_changed_by_what_the_caller_does_to_it(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            value = {"arms": ["a"]}
            await store.put("split", value, expected=None, by="me")
            value["arms"].append("b")
            read = await store.get("split")
            assert read is not None
            assert read.value == {"arms": ["a"]}
            read.value["arms"].append("c")
            again = await store.get("split")
            assert again is not None
            assert again.value == {"arms": ["a"]}

        run(work)

    def test_keys_do_not_touch_each_other(self, run: Any) -> None:
        async def work(store: ControlStore) -> None:
            await store.put("a", 1, expected=None, by="me")
            await store.put("b", 2, expected=None, by="me")
            first, second = await store.get("a"), await store.get("b")
            assert first is not None
            assert second is not None
            assert (first.value, first.revision, second.value, second.revision) == (1, 1, 2, 1)

        run(work)
