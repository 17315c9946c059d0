"""Collects wheels of exactly the packages that an app needs to be served, in the versions that are installed here.

pip collects them on this machine with its own configuration. So the build needs no network, index or password.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from mlpatterns.release.wheel import pack
from mlpatterns.scaffold.names import normalized_name
from mlpatterns.user_errors import UserError

__all__ = ["Wheelhouse", "gather"]

LAST_WORDS = 5  # lines of pip's output that an error quotes
MANYLINUX = ("2_17", "2_27", "2_28")  # the platforms of wheels to request if this machine does not run Linux


class Wheelhouse(Struct, frozen=True):
    """Wheels in a folder.

    Attributes:
        pip: the file name of the wheel of pip, which installs the others and is not installed itself.
        pinned: the name and version of each of the other wheels, sorted.
        requirements: the text of a requirements file with the versions and hashes of the other wheels.
    """

    pip: str
    pinned: tuple[str, ...]
    requirements: str


def gather(wanted: Sequence[str], folder: Path, kept: Path) -> Wheelhouse:
    """Creates `folder` and fills it with the wheels of `wanted` and of their dependencies.

    Args:
        wanted: arguments for pip: requirements, or ``-r`` and a file.
        kept: a folder that caches wheels, so that the next build needs no package index.

    Raises:
        UserError: pip is not installed, or cannot get a wheel.
    """
    folder.mkdir()
    # Not the folder to which pip writes. The wheel is pinned by version, because a pin by file fails with extras.
    beside = folder / "own"
    beside.mkdir()
    own = pack(beside)
    constraints = beside / "constraints.txt"
    constraints.write_text("\n".join([_pin(own), *_installed()]) + "\n", encoding="utf-8")
    words = ["--find-links", str(beside), "--constraint", str(constraints), "mlpatterns", *wanted, f"pip=={_pip()}"]
    done = _run(folder, "--no-index", "--find-links", str(kept), *words)
    if done.returncode:
        done = _run(folder, *words)
        _keep(folder, kept, own.name)
    own.replace(folder / own.name)  # it replaces a wheel of this name that pip may have got from an index
    shutil.rmtree(beside)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")][-LAST_WORDS:]
        raise UserError(f"pip cannot get what the image needs: {' '.join(lines) or done.stderr.strip()}")
    return _read(folder)


def _pin(wheel: Path) -> str:
    name, version = wheel.name.split("-")[:2]
    return f"{normalized_name(name)}=={version}"


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*_command(), str(folder), *words]
    return subprocess.run(  # noqa: S603 - pip, by the user's files
        command, encoding="utf-8", errors="replace", capture_output=True, check=False
    )


def _keep(folder: Path, kept: Path, own: str) -> None:
    """Copies each wheel to the cache atomically, because another build may read it now."""
    kept.mkdir(parents=True, exist_ok=True)
    for wheel in folder.glob("*.whl"):
        if wheel.name != own:
            part = kept / f"{wheel.name}.{os.getpid()}.part"
            shutil.copyfile(wheel, part)
            part.replace(kept / wheel.name)


def _command() -> list[str]:
    """The pip command that fills the folder; on systems other than Linux it requests wheels for Linux."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    if platform.system() == "Linux":
        return [*pip, "wheel", "--prefer-binary", "--wheel-dir"]
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    wanted = [word for base in MANYLINUX for word in ("--platform", f"manylinux_{base}_{machine}")]
    return [*pip, "download", "--only-binary=:all:", *wanted, "--dest"]


def _pip() -> str:
    try:
        return importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "pip, which downloads what the image needs, is not in this environment: run python -m ensurepip"
        ) from None


def _installed() -> list[str]:
    """Pins of all packages that were installed from an index, so that the image has the versions tested here."""
    found = {normalized_name(each.name): each for each in importlib.metadata.distributions()}
    indexed = {name: each for name, each in found.items() if each.read_text("direct_url.json") is None}
    return [f"{name}=={each.version}" for name, each in sorted(indexed.items()) if name != "mlpatterns"]


def _read(folder: Path) -> Wheelhouse:
    pins, pip = [], ""
    for wheel in sorted(folder.glob("*.whl")):
        if wheel.name.startswith("pip-"):
            pip = wheel.name
        else:
            pins.append((_pin(wheel), hashlib.sha256(wheel.read_bytes()).hexdigest()))
    lines = [f"{pin} --hash=sha256:{digest}" for pin, digest in sorted(pins)]
    return Wheelhouse(pip, tuple(pin for pin, _ in sorted(pins)), "\n".join(lines) + "\n")
