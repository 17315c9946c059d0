"""Fetching a version from S3: verified, kept, and never half there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, Event

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanging import endless_files
from mlpatterns.model_db.artifacts import publish
from mlpatterns.registry.fetching import FetchAbandoned, fetch_files, is_local
from mlpatterns.registry.files import FileEntry, Manifest
from mlpatterns.registry.threads import start_thread
from mlpatterns.stores import open_objects
from mlpatterns.stores.objects_file import FileObjects
from mlpatterns.stores.registry import VersionFiles
from mlpatterns.testing import free_port
from mlpatterns.user_errors import ArtifactsDown, ModelFileError, UserError

FILES = {"model.onnx": b"graph", "notes.json": b"{}"}
READERS = 8


@pytest.fixture
def answer(s3_bucket: str, tmp_path: Path) -> VersionFiles:
    """What the registry says of an artifact that another home published."""
    published = publish(s3_bucket, "shapes", "k1", FILES, home=tmp_path / "of the trainer")
    return VersionFiles(1, published.url, published.manifest_sha256)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home that has nothing yet; whatever happens, nothing unfinished is left in it."""
    home = tmp_path / "home"
    yield home
    assert list(home.rglob(".partial-*")) == []


def fetch(root: str, answer: VersionFiles, home: Path) -> Path:
    return fetch_files(root, answer, what="shapes:1", home=home)[0]


def replace(root: str, key: str, content: bytes | None) -> None:
    """As somebody with the keys of the bucket could."""
    store = open_objects(root)
    store.delete(key)
    if content is not None:
        store.create(key, content)


def test_a_version_is_fetched_whole_and_kept_by_its_digest(s3_bucket: str, answer: VersionFiles, home: Path) -> None:
    folder = fetch(s3_bucket, answer, home)
    assert folder == home / "cache" / "artifacts" / answer.manifest_sha256
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES


def test_what_is_kept_is_not_fetched_again_so_an_outage_does_not_matter(
    s3_bucket: str, answer: VersionFiles, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch(s3_bucket, answer, home)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    assert fetch(s3_bucket, answer, home) == folder


def test_a_fetch_that_nobody_waits_for_any_more_ends_and_leaves_nothing(
    s3_bucket: str, answer: VersionFiles, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, began = Event(), endless_files(monkeypatch)
    fetching = start_thread(lambda: fetch_files(s3_bucket, answer, what="shapes:1", home=home, stop=stop), "fetch")
    assert began.wait(10)
    assert not fetching.done()
    stop.set()
    with pytest.raises(FetchAbandoned):
        fetching.result(10)
    assert list((home / "cache" / "artifacts").iterdir()) == []


def test_an_outage_is_a_sentence_where_nothing_is_kept(
    s3_bucket: str, answer: VersionFiles, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ArtifactsDown) as caught:
        fetch(s3_bucket, answer, home)
    assert str(caught.value) == f"shapes:1 cannot be fetched: {s3_bucket} gives an unexpected answer"
    assert list((home / "cache" / "artifacts").iterdir()) == []


@pytest.mark.parametrize("content", [b"Graph", b"gra", b"graph and more"], ids=("other", "shorter", "longer"))
def test_a_corrupt_object_is_refused_and_not_kept(
    s3_bucket: str, answer: VersionFiles, home: Path, content: bytes
) -> None:
    replace(s3_bucket, "shapes/k1/model.onnx", content)
    with pytest.raises(ModelFileError, match=r"^shapes:1: model\.onnx does not match its SHA-256"):
        fetch(s3_bucket, answer, home)
    assert list((home / "cache" / "artifacts").iterdir()) == []


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_a_missing_object_is_named(s3_bucket: str, answer: VersionFiles, home: Path, name: str) -> None:
    replace(s3_bucket, f"shapes/k1/{name}", None)
    with pytest.raises(ModelFileError) as caught:
        fetch(s3_bucket, answer, home)
    assert str(caught.value) == f"shapes:1 is registered, but its {name} is not at {s3_bucket}; train it again"


def test_a_manifest_that_was_not_registered_is_refused_before_its_files_are_read(
    s3_bucket: str, answer: VersionFiles, home: Path
) -> None:
    entry = FileEntry(hashlib.sha256(b"").hexdigest(), 0)
    other = msgspec.json.encode(Manifest({"model.onnx": entry, "../../outside": entry}))
    replace(s3_bucket, "shapes/k1/manifest.json", other)
    with pytest.raises(ModelFileError, match="is not the one that was registered"):
        fetch(s3_bucket, answer, home)


def test_damage_of_what_is_kept_is_this_disks_and_it_is_fetched_anew(
    s3_bucket: str, answer: VersionFiles, home: Path
) -> None:
    folder = fetch(s3_bucket, answer, home)
    (folder / "model.onnx").write_bytes(b"damaged")
    assert (fetch(s3_bucket, answer, home) / "model.onnx").read_bytes() == b"graph"


def test_damage_that_cannot_be_mended_is_not_served(
    s3_bucket: str, answer: VersionFiles, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fetch(s3_bucket, answer, home) / "model.onnx").write_bytes(b"damaged")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ArtifactsDown):
        fetch(s3_bucket, answer, home)


def test_many_may_fetch_one_version_at_once(s3_bucket: str, answer: VersionFiles, home: Path) -> None:
    start = Barrier(READERS)

    def work(_: int) -> bytes:
        start.wait()
        return (fetch(s3_bucket, answer, home) / "model.onnx").read_bytes()

    with ThreadPoolExecutor(READERS) as pool:
        assert list(pool.map(work, range(READERS))) == [b"graph"] * READERS
    assert [path.name for path in (home / "cache" / "artifacts").iterdir()] == [answer.manifest_sha256]


def test_a_home_that_cannot_be_written_is_a_sentence(s3_bucket: str, answer: VersionFiles, home: Path) -> None:
    home.mkdir()
    (home / "cache").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"^cannot write to "):
        fetch(s3_bucket, answer, home)


@pytest.mark.parametrize(
    ("url", "digest"),
    [("../up", "a" * 64), ("s3://elsewhere/shapes/k1", "a" * 64), ("/etc", "a" * 64), ("shapes/k1", "../" * 20)],
)
def test_what_is_registered_elsewhere_is_not_looked_for(s3_bucket: str, home: Path, url: str, digest: str) -> None:
    with pytest.raises(ModelFileError, match="outside the artifacts"):
        fetch(s3_bucket, VersionFiles(1, url, digest), home)


@pytest.mark.parametrize("whole", [False, True], ids=["below the root", "with the root"])
def test_what_lies_in_a_folder_of_this_machine_is_local_however_it_was_registered(whole: bool, tmp_path: Path) -> None:
    root = f"file://{tmp_path}/artifacts"
    published = publish(root, "shapes", "k1", FILES, home=tmp_path)
    below = published.url.removeprefix(f"{root}/")
    answer = VersionFiles(1, f"{root}/{below}" if whole else below, published.manifest_sha256)
    assert is_local(root, answer, tmp_path)
    assert not is_local(f"file://{tmp_path}/elsewhere", answer, tmp_path)
    assert not is_local(root, VersionFiles(1, "file:///elsewhere/shapes/k1", published.manifest_sha256), tmp_path)


def test_a_url_may_name_the_root_too(s3_bucket: str, answer: VersionFiles, home: Path) -> None:
    whole = VersionFiles(1, f"{s3_bucket}/{answer.folder}", answer.manifest_sha256)
    assert fetch(s3_bucket, whole, home).is_dir()


NAMES = st.one_of(st.text(max_size=12), st.sampled_from(["model.onnx", "../x", "/x", "a/../../x", "a/b", "a", "\0"]))


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.dictionaries(NAMES, st.integers(0, 9), max_size=4)))
def test_no_manifest_makes_it_write_elsewhere_or_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, said: bytes | dict[str, int]
) -> None:
    """Its digest is the registered one, as it would be where the registry itself was given it."""
    top = tmp_path_factory.mktemp("hostile")
    empty = hashlib.sha256(b"").hexdigest()
    files = {name: FileEntry(empty, size) for name, size in said.items()} if isinstance(said, dict) else {}
    content = said if isinstance(said, bytes) else msgspec.json.encode(Manifest(files))
    store, home = FileObjects(top / "store"), top / "home"
    store.create("k/manifest.json", content)
    for name in files:
        with suppress(Exception):  # what is no key is not there
            store.create(f"k/{name}", b"")
    before = {path for path in top.rglob("*") if home not in path.parents}
    with pytest.MonkeyPatch.context() as patch, suppress(UserError):
        patch.setattr("mlpatterns.registry.fetching.open_objects", lambda _: store)
        fetch_files(
            "s3://bucket", VersionFiles(1, "k", hashlib.sha256(content).hexdigest()), what="shapes:1", home=home
        )
    assert {path for path in top.rglob("*") if home not in path.parents} - {home} == before
    assert list(home.rglob(".partial-*")) == []
