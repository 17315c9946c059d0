"""The loader: a model is brought to where a server will look for it, verified, before that server starts.

What an init container runs. The model's file gets its name last, so whoever finds it finds it whole, with all that lies
beside it.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from mlpatterns.durable import write_whole
from mlpatterns.errors import ModelFileError, PredictionError, RegistryDown, Unavailable, UserError
from mlpatterns.references import FileReference, parse_reference
from mlpatterns.registry.files import ModelFiles, beside, checked, dump_metadata
from mlpatterns.registry.golden import golden_file
from mlpatterns.registry.locate import locate
from mlpatterns.registry.profiles import profile_file
from mlpatterns.settings import Settings
from mlpatterns.stores import open_objects

__all__ = ["Loaded", "load_model"]

PAUSE = 1.0  # seconds between two attempts at what does not answer
MOST = 2**33  # bytes of a model by its URL
_OBJECT = re.compile(r"(?P<root>(?:s3|file)://.*/)(?P<key>[^/]+\.onnx)")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Loaded(Struct, frozen=True):
    """A model in its place.

    Attributes:
        model: its file.
        source: what was loaded: ``iris:3``, or the address of a file.
        sha256: of the file, in hex.
        instead: why it is the default model, or nothing.
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
) -> Loaded:
    """Puts a model into `folder` as ``NAME.onnx``, over one that is there; metadata, golden set and profile lie beside
    it.

    Args:
        source: a model reference, or the address of a file: ``s3://BUCKET/KEY.onnx``, ``file:///KEY.onnx``.
        sha256: what the model must be; an address has nothing else to be checked with, so it needs it.
        default: another source, for where `source` cannot be had; without it that is an error.
        wait: seconds to go on asking a registry or a store that does not answer.

    Raises:
        UnknownName: there is no such model, alias or version.
        ModelFileError: it is not what it should be.
        RegistryDown: registry or store did not answer within `wait`.
        UserError: the source is none, or the folder cannot be written.
    """
    try:
        return _patiently(lambda: _load(source, folder, settings, sha256), wait, pause)
    except UserError as error:
        if default is None:
            raise
        loaded = _load(default, folder, settings, None, named=_stem(source))
        return Loaded(loaded.model, loaded.source, loaded.sha256, str(error))


def _patiently(load: Callable[[], Loaded], wait: float, pause: Callable[[float], None]) -> Loaded:
    until = time.monotonic() + wait
    while True:
        try:
            return load()
        except RegistryDown:
            if time.monotonic() >= until:
                raise
            pause(PAUSE)


def _load(source: str, folder: Path, settings: Settings, sha256: str | None, named: str | None = None) -> Loaded:
    if sha256 is not None and not _DIGEST.fullmatch(sha256):
        raise UserError("a SHA-256 is 64 hexadecimal digits in lower case")
    if "://" in source:
        what, files = source, _object(source, sha256)
    else:
        what, files = _referenced(source, settings)
    content = files[".onnx"]
    digest = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, digest):
        raise ModelFileError(f"{what} has the SHA-256 {digest}, not {sha256}")
    return Loaded(_placed(folder, named or _stem(source), files), what, digest)


def _stem(source: str) -> str:
    """What the file will be called: the model's name, or that of its file."""
    if "://" in source:
        return source.rpartition("/")[2].removesuffix(".onnx")
    reference = parse_reference(source)
    return reference.path.stem if isinstance(reference, FileReference) else reference.name


# ---- where it comes from -------------------------------------------------------------------------------------------


def _object(url: str, sha256: str | None) -> dict[str, bytes]:
    match = _OBJECT.fullmatch(url)
    if match is None:
        raise UserError(f"{url!r} is no address of a model: write s3://BUCKET/…/NAME.onnx or file:///…/NAME.onnx")
    if sha256 is None:
        raise UserError(f"{url} may hold anything: say what it must be, with its SHA-256")
    try:
        return {".onnx": open_objects(match["root"]).read(match["key"], MOST)}
    except PredictionError as error:
        kind = RegistryDown if isinstance(error, Unavailable) else ModelFileError
        raise kind(f"{url} cannot be read: {error}") from error


def _referenced(source: str, settings: Settings) -> tuple[str, dict[str, bytes]]:
    found = locate(source, settings)
    what = str(found.model) if found.folder is None else f"{found.name}:{found.version}"
    return what, {".onnx": checked(found), **_beside(found)}


def _beside(found: ModelFiles) -> dict[str, bytes]:
    files = {} if found.metadata is None else {".metadata.json": dump_metadata(found.metadata)}
    for suffix, path in ((".golden.json", golden_file(found)), (".profile.json", profile_file(found))):
        if path.is_file():
            files[suffix] = path.read_bytes()
    return files


# ---- where it goes -------------------------------------------------------------------------------------------------


def _placed(folder: Path, stem: str, files: Mapping[str, bytes]) -> Path:
    """Writes each file whole, the model last; what lay beside another model and this one has not is removed first."""
    model = folder / f"{stem}.onnx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in (beside(model), folder / f"{stem}.golden.json", folder / f"{stem}.profile.json"):
            if path.name.removeprefix(stem) not in files:
                path.unlink(missing_ok=True)
        for suffix in sorted(files, key=lambda suffix: suffix == ".onnx"):
            write_whole(folder / f"{stem}{suffix}", files[suffix])
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from error
    return model
