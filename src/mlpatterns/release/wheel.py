"""Packs a wheel of the running mlpatterns from its files, so that an image has the code that was tested here."""

from __future__ import annotations

import base64
import hashlib
import time
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from mlpatterns.release.stamps import epoch
from mlpatterns.user_errors import UserError

__all__ = ["pack"]

PACKAGE = Path(__file__).parents[1]
OF_THE_WHEEL = ("METADATA", "WHEEL", "entry_points.txt", "licenses/")  # the other files describe the installation


def pack(folder: Path) -> Path:
    """Writes the wheel into `folder`: the same bytes each time, whether mlpatterns is installed or editable.

    Raises:
        UserError: mlpatterns is not installed, so its requirements are unknown.
    """
    try:
        found = distribution("mlpatterns")
    except PackageNotFoundError:
        raise UserError(
            "mlpatterns runs from a folder and is not installed; install it, then build the image"
        ) from None
    info = f"mlpatterns-{found.version}.dist-info"
    wheel = folder / f"mlpatterns-{found.version}-py3-none-any.whl"
    contents = dict(sorted({**_package(), **_information(found, info)}.items()))
    record = f"{info}/RECORD"
    lines = [f"{name},sha256={_hash(content)},{len(content)}" for name, content in contents.items()]
    contents[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(_entry(name), content)
    return wheel


def _package() -> dict[str, bytes]:
    files = (path for path in PACKAGE.rglob("*") if _is_source(path.relative_to(PACKAGE)) and path.is_file())
    return {path.relative_to(PACKAGE.parent).as_posix(): path.read_bytes() for path in files}


def _is_source(path: Path) -> bool:
    """Whether a file belongs to the package: not bytecode or a temporary file of an editor or file manager."""
    beside = path.suffix == ".pyc" or path.name.endswith("~")
    return not beside and not any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _information(found: Distribution, info: str) -> dict[str, bytes]:
    entries = [entry for entry in found.files or () if entry.parts[0] == info]
    kept = [entry for entry in entries if entry.as_posix().removeprefix(f"{info}/").startswith(OF_THE_WHEEL)]
    return {entry.as_posix(): Path(str(entry.locate())).read_bytes() for entry in kept}


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, time.gmtime(epoch())[:6])
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
    return entry


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
