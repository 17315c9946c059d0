"""Archives: fetched, checked, read; and everything that can be wrong with one, in one sentence."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpatterns.training.cifar10 import archive as module
from mlpatterns.training.cifar10.archive import fetch, md5_of, read_archive
from mlpatterns.training.cifar10.pickled import Record, dump
from mlpatterns.training.cifar10.published import CIFAR10, CIFAR100
from mlpatterns.training.cifar10.synthetic import write_synthetic
from mlpatterns.user_errors import UserError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "whole.tar.gz"
    write_synthetic(path, images=20, test_images=10, seed=0)
    return path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url(whole: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(whole.parent)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{whole.name}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write(path: Path, records: dict[str, Record], folder: str = "cifar-10-batches-py") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, record in records.items():
            add(archive, f"{folder}/{name}", dump(record))
    return path


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def batch(rows: int = 2, **changes: Any) -> Record:
    record: Record = {b"labels": [0, 1][:rows], b"data": np.zeros((rows, 3072), np.uint8)}
    return record | {name.encode(): value for name, value in changes.items()}


def records(**changes: Record) -> dict[str, Record]:
    names = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
    return {name: batch() for name in names} | {"batches.meta": {b"label_names": [b"cat", b"dog"]}} | changes


# ---- fetching ----


def test_a_url_is_fetched_once(whole: Path, url: str, tmp_path: Path) -> None:
    shares: list[float] = []
    path = fetch(url, md5_of(whole), tmp_path, shares.append)
    assert path.read_bytes() == whole.read_bytes()
    assert shares[-1] == 1.0
    written = path.stat().st_mtime_ns
    assert fetch(url, md5_of(whole), tmp_path).stat().st_mtime_ns == written


def test_a_download_that_was_broken_off_is_fetched_anew(whole: Path, url: str, tmp_path: Path) -> None:
    (tmp_path / "archive.tar.gz").write_bytes(whole.read_bytes()[:100])
    assert fetch(url, md5_of(whole), tmp_path).read_bytes() == whole.read_bytes()


def test_a_path_is_read_where_it_is(whole: Path, tmp_path: Path) -> None:
    assert fetch(str(whole), md5_of(whole), tmp_path) == whole
    assert list(tmp_path.iterdir()) == []


def test_another_archive_than_the_published_one_is_refused(whole: Path, url: str, tmp_path: Path) -> None:
    for source in (str(whole), url):
        with pytest.raises(UserError, match=r"is not the published archive: its MD5 is [0-9a-f]{32}, not c58f3010"):
            fetch(source, CIFAR10.md5, tmp_path)


def test_what_cannot_be_fetched_is_said_with_what_else_to_do(url: str, tmp_path: Path) -> None:
    for source, text in (
        (f"{url}x", "HTTP Error 404|Not Found|File not found"),
        ("http://127.0.0.1:9/archive.tar.gz", "refused"),
        ("http://[", "URL"),
    ):
        with pytest.raises(
            UserError, match=f"cannot fetch .*({text}).*; give --data a file, or train with --synthetic"
        ):
            fetch(source, CIFAR10.md5, tmp_path)
    with pytest.raises(UserError, match=r"there is no archive .*nothing; give the path .*, or train with --syn"):
        fetch(str(tmp_path / "nothing"), CIFAR10.md5, tmp_path)


def test_an_archive_that_may_not_be_read_is_said_so(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "md5_of", refused)
    with pytest.raises(UserError, match=r"cannot read .*whole\.tar\.gz: permission denied"):
        fetch(str(whole), CIFAR10.md5, tmp_path)


def test_a_url_s_password_is_not_said(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        fetch("http://me:secret@127.0.0.1:9/x", CIFAR10.md5, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_server_that_sends_without_end_is_left(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="is not such an archive: it has more than"):
        fetch(url, CIFAR10.md5, tmp_path)


@pytest.mark.parametrize("source", ["file:///etc/hosts", "ftp://127.0.0.1/x"])
def test_other_kinds_of_url_are_paths_that_do_not_exist(source: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no archive"):
        fetch(source, CIFAR10.md5, tmp_path)


# ---- reading ----


def test_batches_come_in_their_order(tmp_path: Path) -> None:
    made = records(data_batch_2=batch(data=np.full((2, 3072), 7, np.uint8)))
    found = read_archive(write(tmp_path / "a", dict(reversed(made.items()))), CIFAR10)
    assert found.train.images[:, 0, 0, 0].tolist() == [0, 0, 7, 7, 0, 0, 0, 0, 0, 0]
    assert found.train.labels.tolist() == [0, 1] * 5
    assert found.labels == ("cat", "dog")


def test_a_row_is_red_then_green_then_blue(tmp_path: Path) -> None:
    row = np.repeat(np.array([1, 2, 3], np.uint8), 1024)[None]
    row[0, 1] = 9
    found = read_archive(write(tmp_path / "a", records(test_batch=batch(1, data=row))), CIFAR10)
    assert found.test.images[0, :, 5, 5].tolist() == [1, 2, 3]
    assert found.test.images[0, 0, 0, 1] == 9


def test_cifar_100_has_one_file_and_fine_labels(tmp_path: Path) -> None:
    rows = {b"fine_labels": [1, 0], b"coarse_labels": [0, 0], b"data": np.zeros((2, 3072), np.uint8)}
    made: dict[str, Record] = {"train": rows, "test": rows, "meta": {b"fine_label_names": [b"apple", b"bear"]}}
    found = read_archive(write(tmp_path / "a", made, "cifar-100-python"), CIFAR100)
    assert (found.train.labels.tolist(), found.labels) == ([1, 0], ("apple", "bear"))


def test_no_file_of_an_archive_is_written_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "inside" / "hostile.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for name in ("../escaped", "/tmp/escaped", "cifar-10-batches-py/../../escaped"):
            add(archive, name, b"out")
        link = tarfile.TarInfo("cifar-10-batches-py/test_batch")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hosts"
        archive.addfile(link)
    with pytest.raises(UserError, match=r"lacks .*test_batch"):
        read_archive(path, CIFAR10)
    assert [entry.name for entry in tmp_path.rglob("*")] == ["inside", "hostile.tar.gz"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"test_batch": {}}, "test_batch holds no images of 32 by 32 pixels"),
        ({"test_batch": batch(data=np.zeros((2, 3071), np.uint8))}, "test_batch holds no images of 32 by 32 pixels"),
        ({"test_batch": batch(labels=[0])}, "test_batch has not one label of 2 for each of its 2 images"),
        ({"test_batch": batch(labels=[0, 2])}, "test_batch has not one label of 2"),
        ({"test_batch": batch(labels=[0, -1])}, "test_batch has not one label of 2"),
        ({"test_batch": batch(labels=[0, b"1"])}, "test_batch has not one label of 2"),
        ({"batches.meta": {}}, "batches.meta names no classes"),
        ({"batches.meta": {b"label_names": [b"cat", 5]}}, "batches.meta names no classes"),
    ],
)
def test_a_record_that_is_not_what_it_should_be_is_named(changes: dict[str, Record], text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=text):
        read_archive(write(tmp_path / "a", records(**changes)), CIFAR10)


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    made = records()
    del made["data_batch_3"]
    with pytest.raises(UserError, match=r"a\.tar\.gz lacks data_batch_3; fetch it again"):
        read_archive(write(tmp_path / "a.tar.gz", made), CIFAR10)


@pytest.mark.parametrize("cut", [0, 10, 1000])
def test_an_archive_that_was_cut_off_or_is_none_is_said_so(cut: int, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.tar.gz").write_bytes(whole.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"cut\.tar\.gz (is not an archive that can be read|lacks)"):
        read_archive(tmp_path / "cut.tar.gz", CIFAR10)


def test_a_record_that_is_too_large_is_not_read(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RECORD", 100)
    with pytest.raises(UserError, match="which no record of a CIFAR archive has"):
        read_archive(whole, CIFAR10)
