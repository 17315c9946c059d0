"""Debian's buildah with a separate storage, and the base image that `.ci/image-base` makes; no daemon, no registry.

If one of them is missing, the tests that need it are skipped. If CI is set, they fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

__all__ = ["BASE", "Buildah", "buildah"]

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
TAR = Path(__file__).parents[1] / ".image-base" / f"base-{VERSION}.tar"
BASE = f"localhost/base:{VERSION}"
MEMORY, ENOUGH = Path("/dev/shm"), 8 << 30  # bytes; in memory, since the storage copies every layer in full
PATIENCE = 300.0


class Buildah(Struct, frozen=True):
    """Runs buildah in an environment that selects the storage."""

    environ: Mapping[str, str]

    def run(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs one command of buildah and waits for its end."""
        done = subprocess.run(
            ["buildah", *map(str, words)],
            env=dict(self.environ),
            text=True,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done

    def configuration(self, image: str) -> dict[str, Any]:
        """The configuration of an image, in Docker's format."""
        found = msgspec.json.decode(self.run("inspect", "--type", "image", image).stdout)["Docker"]["config"]
        return msgspec.convert(found, dict[str, Any])

    def layers(self, image: str) -> list[str]:
        """The digests of an image's layers, those of the base first."""
        manifest = self.run("inspect", "--type", "image", "--format", "{{.Manifest}}", image).stdout
        return [layer["digest"] for layer in msgspec.json.decode(manifest)["layers"]]


@contextmanager
def buildah() -> Iterator[Buildah]:
    """Buildah with a temporary storage that contains only BASE."""
    for what, there in (("buildah", shutil.which("buildah")), (str(TAR), TAR.is_file())):
        if not there:
            missing(f"{what} is not here; .ci/prepare installs buildah and makes the base")
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH
    folder = Path(tempfile.mkdtemp(prefix="mlpatterns-images-", dir=MEMORY if roomy else None))
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    )
    own = {"CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"), "BUILDAH_ISOLATION": "chroot"}
    engine = Buildah({**os.environ, **own})
    try:
        (folder / "base").mkdir()
        (folder / "base" / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        shutil.copyfile(TAR, folder / "base" / "base.tar")
        engine.run("build", "--quiet", "--format", "docker", "--timestamp", "0", "--tag", BASE, folder / "base")
        yield engine
    finally:
        engine.run("rm", "--all", check=False)
        engine.run("rmi", "--all", "--force", check=False)
        shutil.rmtree(folder, ignore_errors=True)


def missing(message: str) -> None:
    """Skips the test, or fails it if CI is set."""
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
