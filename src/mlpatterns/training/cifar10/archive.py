"""Downloads an archive of images if needed, checks its MD5, and reads it without unpacking it to disk."""

from __future__ import annotations

import errno
import hashlib
import tarfile
import zlib
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array
from mlpatterns.redaction import redact
from mlpatterns.training.cifar10.pickled import Record, load
from mlpatterns.training.cifar10.published import SIDE, PublishedArchive
from mlpatterns.user_errors import UserError, WrongUse

__all__ = ["ImageSet", "Images", "fetch", "md5_of", "read_archive"]

CHUNK = 1 << 20
MOST_BYTES = 256 << 20  # the largest archive that is accepted; the published ones have 170 MB
MOST_RECORD = 256 << 20  # the largest file in it that is accepted; the largest published one has 155 MB
PATIENCE = 60.0  # seconds without a byte
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


class Images(Struct, frozen=True):
    """Images uint8 [rows, 3, 32, 32] with their class numbers, int64 [rows]."""

    images: Array
    labels: Array


class ImageSet(Struct, frozen=True):
    """The contents of an archive; `labels` are the class names."""

    train: Images
    test: Images
    labels: tuple[str, ...]


def fetch(source: str, md5: str, folder: Path, report: Callable[[float], None] = lambda _: None) -> Path:
    """The path of the archive at a URL or path, after a check of its MD5. A download is kept in `folder`.

    Args:
        source: ``https://…``, ``http://…`` or a path.
        report: called with the share that has arrived, between 0 and 1.

    Raises:
        UserError: it cannot be fetched or read, or is not the published archive.
    """
    remote = source.startswith(("https://", "http://"))
    path = folder / "archive.tar.gz" if remote else Path(source)
    if remote and not (path.is_file() and md5_of(path) == md5):
        _download(source, path, report)
    if not path.is_file():
        raise WrongUse(f"there is no archive {path}; give the path or URL of one or the name of a data set (cifar10, "
                       "cifar100), or train with --synthetic")  # fmt: skip
    try:
        found = md5_of(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    if found != md5:
        raise UserError(f"{redact(source)} is not the published archive: its MD5 is {found}, not {md5}; fetch it again")
    return path


def md5_of(path: Path) -> str:
    """The MD5 of a file, in hex. The archives are published with it; it only detects errors of the transfer."""
    state = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)
    return state.hexdigest()


def _download(url: str, path: Path, report: Callable[[float], None]) -> None:
    try:
        with urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - `fetch` accepts only http and https
            total, received = int(answer.headers.get("content-length") or MOST_BYTES), 0
            with path.open("wb") as file:
                while chunk := answer.read(CHUNK):
                    received += len(chunk)
                    if received > MOST_BYTES:
                        raise UserError(f"{redact(url)} is not such an archive: it has more than {MOST_BYTES >> 20} MB")
                    file.write(chunk)
                    report(min(1.0, received / total))
    except (HTTPException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            raise
        why = getattr(error, "reason", None) or error
        if isinstance(error, HTTPError):
            error.close()
        raise UserError(f"cannot fetch {redact(url)}: {why}; give --data a file, or train with --synthetic") from error


def read_archive(path: Path, kind: PublishedArchive) -> ImageSet:
    """Reads the records of an archive.

    Raises:
        UserError: it is not such an archive, or a record in it is invalid.
    """
    wanted = {f"{kind.folder}/{name}": name for name in (*kind.train, kind.test, kind.meta)}
    try:
        with tarfile.open(path, "r:gz") as archive:
            records = {
                wanted[entry.name]: load(_content(archive, entry), wanted[entry.name])
                for entry in archive
                if entry.name in wanted and entry.isreg()
            }
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{path.name} is not an archive that can be read: {error}; fetch it again") from error
    missing = sorted(set(wanted.values()) - set(records))
    if missing:
        raise UserError(f"{path.name} lacks {', '.join(missing)}; fetch it again")
    return _images(records, kind)


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    if entry.size > MOST_RECORD:
        raise UserError(f"{entry.name} has {entry.size >> 20} MB, which no record of a CIFAR archive has")
    file = archive.extractfile(entry)
    assert file is not None  # it is a regular file
    return file.read()


def _images(records: Mapping[str, Record], kind: PublishedArchive) -> ImageSet:
    names = records[kind.meta].get(kind.names.encode())
    if not isinstance(names, list) or not names or not all(isinstance(name, bytes) for name in names):
        raise UserError(f"{kind.meta} names no classes; fetch the archive again")
    parts = [_part(records[name], name, kind, len(names)) for name in kind.train]
    train = Images(np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts]))
    test = _part(records[kind.test], kind.test, kind, len(names))
    return ImageSet(train, test, tuple(name.decode("ascii", "replace") for name in names))


def _part(record: Record, name: str, kind: PublishedArchive, classes: int) -> Images:
    data, labels = record.get(b"data"), record.get(kind.labels.encode())
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != 3 * SIDE**2:
        raise UserError(f"{name} holds no images of {SIDE} by {SIDE} pixels; fetch the archive again")
    if not _numbers(labels, len(data), classes):
        raise UserError(f"{name} has not one label of {classes} for each of its {len(data)} images")
    return Images(data.reshape(-1, 3, SIDE, SIDE), np.array(labels, np.int64))


def _numbers(labels: Any, count: int, classes: int) -> bool:
    return (
        isinstance(labels, list)
        and len(labels) == count
        and all(isinstance(label, int) and 0 <= label < classes for label in labels)
    )
