"""Downloads ONNX Runtime Web once with npm, checks its digest, and keeps it in the home folder of mlpatterns."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from mlpatterns.durable import write_whole
from mlpatterns.user_errors import UserError

__all__ = ["FILES", "VERSION", "engine_files"]

PACKAGE, VERSION = "onnxruntime-web", "1.27.0"
# The package's own `dist.integrity`: `npm view onnxruntime-web@1.27.0 dist.integrity`.
INTEGRITY = "sha512-ogDLsqIozHZwifPuN37OproAo0byX6t43/bP8GzeZWBWD6MOGExswFAx3up4NS/vvWBOg2u2PXomDt3rMmdQSg=="
# Only the WebAssembly build, which runs everywhere and needs neither a GPU nor headers for shared memory.
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
MINUTES = 5


def engine_files(home: Path) -> dict[str, Path]:
    """The files of the engine by name. Missing files are downloaded.

    Raises:
        UserError: npm is not installed, npm could not fetch the package, or the package has the wrong digest.
    """
    folder = home / "edge" / f"{PACKAGE}-{VERSION}"
    found = {name: folder / name for name in FILES}
    if not all(path.is_file() for path in found.values()):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            _unpack(_fetched(Path(scratch)), folder)
    return found


def _fetched(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            f"npm, which downloads {PACKAGE}, is missing; install Node.js, or copy {', '.join(FILES)} of its version "
            f"{VERSION} to edge/{PACKAGE}-{VERSION} of the home"
        )
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--fetch-retries=0", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - no part of the command comes from a user
            command,
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60 * MINUTES,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"npm did not fetch {PACKAGE} within {MINUTES} minutes; try again") from None
    packed = folder / f"{PACKAGE}-{VERSION}.tgz"
    if done.returncode != 0 or not packed.is_file():
        words = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(f"npm could not fetch {PACKAGE} {VERSION}: {words[-1] if words else 'it does not say why'}")
    return packed


def _unpack(packed: Path, folder: Path) -> None:
    """Checks the package, and unpacks only the files that the site needs; each file is written atomically."""
    data = packed.read_bytes()
    if f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}" != INTEGRITY:
        raise UserError(f"what npm fetched is not {PACKAGE} {VERSION}: its SHA-512 differs; nothing was kept")
    with tarfile.open(packed) as archive:
        for name in FILES:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None  # the checked package holds it
            write_whole(folder / name, member.read())
