"""The loader copies a verified model into the folder of a server, before that server starts.

An init container runs it. The model's file gets its name last, so a server that finds this file finds all others.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from msgspec import Struct

from mlpatterns.durable import write_whole
from mlpatterns.errors import PredictionError, Unavailable
from mlpatterns.onnx_format.weights import external_files
from mlpatterns.references import FileReference, parse_reference
from mlpatterns.registry.digests import digest, identity_of, reading_file
from mlpatterns.registry.files import ModelFiles, checked_content, dump_metadata, metadata_path
from mlpatterns.registry.golden import golden_file
from mlpatterns.registry.locate import locate
from mlpatterns.registry.profiles import profile_file
from mlpatterns.registry.weights import check_no_conflict, check_weight_names, weight_contents, weight_names
from mlpatterns.settings import Settings
from mlpatterns.stores import open_objects
from mlpatterns.user_errors import ModelFileError, RegistryDown, UserError, WrongUse

__all__ = ["LoadedModel", "load_model"]

PAUSE = 1.0  # seconds between two attempts to reach a registry or store
MOST = 2**33  # bytes of each file of a model that is loaded by URL
_OBJECT = re.compile(r"(?P<root>(?:s3|file)://.*/)(?P<key>[^/]+\.onnx)")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class LoadedModel(Struct, frozen=True):
    """A model that was loaded into a folder.

    Attributes:
        model: the path of its ``.onnx`` file.
        source: the version or file that was loaded: ``iris:3``, or the path or URL of a file.
        sha256: the SHA-256 of the model with its weights, in hex (`identity_of`).
        instead: why the default model was loaded; empty if it was not.
    """

    model: Path
    source: str
    sha256: str
    instead: str = ""


def load_model(
    source: str,
    folder: Path,
    *,
    settings: Settings,
    sha256: str | None = None,
    default: str | None = None,
    wait: float = 0.0,
    pause: Callable[[float], None] = time.sleep,
) -> LoadedModel:
    """Writes a model into `folder` as ``NAME.onnx`` and replaces a file of that name. Metadata, golden set and profile
    are written next to it, and external weights under the names that the ONNX file gives them.

    Args:
        source: a model reference, or the URL of a file: ``s3://BUCKET/KEY.onnx``, ``file:///KEY.onnx``.
        sha256: the SHA-256 that the model with its weights must have (`identity_of`). It is required for a URL, because
            nothing else could verify the file.
        default: another source, which is used if loading `source` fails.
        wait: seconds for which to retry if a registry or a store does not answer.

    Raises:
        UnknownName: there is no such model, alias or version.
        ModelFileError: the model does not match its SHA-256, or cannot be read.
        RegistryDown: the registry or the store did not answer within `wait`.
        UserError: `source` is not valid, the folder cannot be written, or it has another model's weights of the same
            name.
    """
    try:
        return _patiently(lambda: _load(source, folder, settings, sha256), wait, pause)
    except UserError as error:
        if default is None:
            raise
        loaded = _load(default, folder, settings, None, named=_stem(source))
        return LoadedModel(loaded.model, loaded.source, loaded.sha256, str(error))


def _patiently(load: Callable[[], LoadedModel], wait: float, pause: Callable[[float], None]) -> LoadedModel:
    until = time.monotonic() + wait
    while True:
        try:
            return load()
        except RegistryDown:
            if time.monotonic() >= until:
                raise
            pause(PAUSE)


def _load(source: str, folder: Path, settings: Settings, sha256: str | None, named: str | None = None) -> LoadedModel:
    if sha256 is not None and not _DIGEST.fullmatch(sha256):
        raise WrongUse("a SHA-256 is 64 hexadecimal digits in lower case")
    found = _object(source, sha256) if "://" in source else _referenced(source, settings)
    weights = {name: _sha256(content) for name, content in found.weights.items()}
    identity = identity_of(_sha256(found.files[".onnx"]), weights)
    if sha256 not in (None, identity):
        whole = " with its weights" if weights else ""
        raise ModelFileError(f"{found.what} has the SHA-256 {identity}{whole}, not {sha256}")
    model = folder / f"{named or _stem(source)}.onnx"
    check_no_conflict(model, weights)
    _place(model, found)
    return LoadedModel(model, found.what, identity)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _stem(source: str) -> str:
    """The stem of the new file: the model's name, or the stem of the source file."""
    if "://" in source:
        return source.rpartition("/")[2].removesuffix(".onnx")
    reference = parse_reference(source)
    return reference.path.stem if isinstance(reference, FileReference) else reference.name


# ---- reading the source -------------------------------------------------------------------------------------------


class _ModelContent(Struct, frozen=True):
    """The content to write: `files` by the suffix of their names, `weights` by their own names."""

    what: str
    files: dict[str, bytes]
    weights: dict[str, bytes]


def _object(url: str, sha256: str | None) -> _ModelContent:
    match = _OBJECT.fullmatch(url)
    if match is None:
        raise WrongUse(f"{url!r} is not the address of a model; write s3://BUCKET/…/NAME.onnx or file:///…/NAME.onnx")
    if sha256 is None:
        raise WrongUse(f"{url} may hold any model; give the SHA-256 that it must have")
    try:
        store = open_objects(match["root"])
        model = store.read(match["key"], MOST)
        names = external_files(model)
        check_weight_names(url, names)
        return _ModelContent(url, {".onnx": model}, {name: store.read(name, MOST) for name in names})
    except PredictionError as error:
        kind = RegistryDown if isinstance(error, Unavailable) else ModelFileError
        raise kind(f"{url} cannot be read: {error}") from error


def _referenced(source: str, settings: Settings) -> _ModelContent:
    found = locate(source, settings)
    check_weight_names(found.name, found.weights)
    what = str(found.model) if found.folder is None else f"{found.name}:{found.version}"
    return _ModelContent(what, {".onnx": checked_content(found), **_beside(found)}, weight_contents(found))


def _beside(found: ModelFiles) -> dict[str, bytes]:
    files = {} if found.metadata is None else {".metadata.json": dump_metadata(found.metadata)}
    for suffix, path in ((".golden.json", golden_file(found)), (".profile.json", profile_file(found))):
        if path.is_file():
            with reading_file(path):
                files[suffix] = path.read_bytes()
    return files


# ---- writing the files -----------------------------------------------------------------------------------------------


def _place(model: Path, found: _ModelContent) -> None:
    """Writes each file atomically, the model last. Removes files of the previous model that the new one lacks."""
    folder, stem, before = model.parent, model.stem, weight_names(model)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_weights(model, found.weights, before)
        for path in (metadata_path(model), folder / f"{stem}.golden.json", folder / f"{stem}.profile.json"):
            if path.name.removeprefix(stem) not in found.files:
                path.unlink(missing_ok=True)
        for suffix in sorted(found.files, key=lambda suffix: suffix == ".onnx"):
            write_whole(folder / f"{stem}{suffix}", found.files[suffix])
        others = {name for each in folder.glob("*.onnx") for name in weight_names(each)}
        for name in {*before} - others:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from error


def _write_weights(model: Path, weights: Mapping[str, bytes], before: Collection[str]) -> None:
    """Writes the files of weights that are missing or different.

    Args:
        before: the files of weights of the previous model. Before one of them is replaced, the previous ONNX file is
            removed, so that a server that starts meanwhile never finds a mixture of two models.
    """
    for name, content in weights.items():
        path = model.parent / name
        if path.exists() and digest(path) == _sha256(content):
            continue
        if name in before:
            model.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
