"""The contract of every ObjectStore. The test of a backend inherits the class and locates an empty store."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from mlpatterns.errors import Conflict, InvalidInput, NotFound, TooLarge
from mlpatterns.stores import open_objects
from mlpatterns.stores.objects import ObjectStore

WRITERS = 8


class ObjectStoreContract:
    """Inherit it and define `url`, a fixture with the URL of a new, empty store."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError("a backend's test gives the URL of a fresh store")

    @pytest.fixture
    def store(self, url: str) -> ObjectStore:
        return open_objects(url)

    @pytest.mark.parametrize("content", [b"", b"\0\r\n\xff" * 1000, b"x" * (6 << 20)], ids=("none", "binary", "6 MiB"))
    def test_an_object_is_read_as_it_was_written(self, store: ObjectStore, url: str, content: bytes) -> None:
        store.create("shapes/k1/model.onnx", content)
        assert open_objects(url).read("shapes/k1/model.onnx", len(content)) == content

    @pytest.mark.parametrize("key", ["model", "shapes/k1", "shapes/k1/other", "shapes/k1/model/inner"])
    def test_what_was_never_written_is_not_found(self, store: ObjectStore, key: str) -> None:
        store.create("shapes/k1/model", b"here")
        with pytest.raises(NotFound, match=f"there is no object {key}"):
            store.read(key, 100)

    def test_an_object_that_is_too_large_is_refused(self, store: ObjectStore) -> None:
        store.create("k", b"12345")
        with pytest.raises(TooLarge, match="more than 4 bytes"):
            store.read("k", 4)

    def test_an_object_is_never_written_over(self, store: ObjectStore) -> None:
        store.create("shapes/k1", b"first")
        with pytest.raises(Conflict, match="never overwritten"):
            store.create("shapes/k1", b"second")
        assert store.read("shapes/k1", 100) == b"first"

    def test_of_many_who_create_one_object_at_once_one_does(self, store: ObjectStore) -> None:
        start = Barrier(WRITERS)

        def create(number: int) -> bytes | None:
            content = f"writer {number}".encode() * 1000
            start.wait()
            try:
                store.create("shapes/k1/model", content)
            except Conflict:
                return None
            return content

        with ThreadPoolExecutor(WRITERS) as pool:
            (written,) = [content for content in pool.map(create, range(WRITERS)) if content is not None]
        assert store.read("shapes/k1/model", 1 << 20) == written
        assert [one.key for one in store.listed()] == ["shapes/k1/model"]

    def test_a_listing_is_of_a_folder_and_not_of_names_that_begin_like_it(self, store: ObjectStore) -> None:
        for key in ("shapes/k2", "shapes/k1/b", "shapes/k1/a", "shapes2/k1", "top"):
            store.create(key, key.encode())
        assert [one.key for one in store.listed("shapes")] == ["shapes/k1/a", "shapes/k1/b", "shapes/k2"]
        assert [one.key for one in store.listed("shapes/k1")] == ["shapes/k1/a", "shapes/k1/b"]
        assert [one.key for one in store.listed()] == ["shapes/k1/a", "shapes/k1/b", "shapes/k2", "shapes2/k1", "top"]

    def test_a_listing_says_sizes_and_times(self, store: ObjectStore) -> None:
        before = time.time()
        store.create("k", b"12345")
        (found,) = store.listed()
        assert found.bytes == 5
        assert before - 60 < found.modified < time.time() + 60

    def test_a_store_that_was_never_written_to_is_empty(self, store: ObjectStore) -> None:
        assert store.listed() == store.listed("shapes") == []

    def test_what_was_deleted_is_gone_and_may_be_created_again(self, store: ObjectStore) -> None:
        store.create("shapes/k1/a", b"a")
        store.create("shapes/k1/b", b"b")
        store.delete("shapes/k1/a")
        assert [one.key for one in store.listed()] == ["shapes/k1/b"]
        store.create("shapes/k1/a", b"again")
        assert store.read("shapes/k1/a", 100) == b"again"

    def test_to_delete_what_is_not_there_is_no_error(self, store: ObjectStore) -> None:
        store.delete("shapes/k1/a")
        store.create("shapes", b"a file")
        store.delete("shapes/k1/a")

    @pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", "./a", "a\\b", "a\0b", "a\nb"])
    def test_what_is_no_key_is_refused_by_every_call(self, store: ObjectStore, key: str) -> None:
        for call in (
            lambda: store.read(key, 100),
            lambda: store.create(key, b""),
            lambda: store.delete(key),
            lambda: store.listed(key or ".."),
        ):
            with pytest.raises(InvalidInput, match="is not an object key"):
                call()

    @pytest.mark.parametrize("key", ["a b/ü", "日本/語.onnx", "a%20b", "a+b=c@d", "...", ".hidden"])
    def test_a_name_may_have_any_other_characters(self, store: ObjectStore, key: str) -> None:
        store.create(key, b"here")
        assert store.read(key, 100) == b"here"
        assert [one.key for one in store.listed()] == [key]
