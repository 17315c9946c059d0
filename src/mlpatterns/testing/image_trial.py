"""Runs `mlpatterns image build`, reads its build context, and finds an engine that can build the image."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from mlpatterns.user_errors import UserError

__all__ = ["BuildContext", "build_context", "build_image", "engine_with"]

ENGINES = ("docker", "podman", "buildah")
LABEL = re.compile(r'"([^"]+)"="((?:[^"\\]|\\.)*)"')
LAST_LINES = 20  # lines of the output that an error quotes


class BuildContext(Struct, frozen=True):
    """The build context of an image: the folder, and the properties of the image from its files.

    Attributes:
        folder: its path; the folder ``app`` in it becomes ``/app`` in the image.
        base: the base image.
        requirements: name and version of each package to install, such as ``numpy==2.3.1``.
        labels: the labels of the image.
    """

    folder: Path
    base: str
    requirements: tuple[str, ...]
    labels: dict[str, str]

    def contents(self) -> set[tuple[str, str, float, int]]:
        """The name, SHA-256, modification time and mode of each file. They determine the layers of the image."""
        return {
            (path.relative_to(self.folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest(),
             path.stat().st_mtime, path.stat().st_mode)
            for path in self.folder.rglob("*") if path.is_file()
        }  # fmt: skip


def build_context(target: str, folder: Path) -> BuildContext:
    """Runs ``mlpatterns image build TARGET --context-only FOLDER`` and reads the result.

    Args:
        target: the name of a pattern, a Python file or an ONNX file.
        folder: the folder for the context; it must be empty or not exist.

    Raises:
        UserError: the command failed; the error quotes its last lines.
    """
    _image_build(target, "--context-only", str(folder))
    dockerfile = (folder / "Dockerfile").read_text(encoding="utf-8")
    requirements = (folder / "requirements.txt").read_text(encoding="utf-8")
    base = re.search(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    return BuildContext(
        folder,
        base.group(1) if base else "",
        tuple(re.findall(r"^([\w.-]+(?:\[.*?\])?==\S+)", requirements, re.MULTILINE)),
        {key: re.sub(r"\\(.)", r"\1", value) for key, value in LABEL.findall(dockerfile.partition("LABEL ")[2])},
    )


def engine_with(image: str) -> str | None:
    """The first of docker, podman and buildah on this machine that already has `image`; None if none has it.

    Args:
        image: its name and tag, such as ``python:3.13-slim``.
    """
    for engine in ENGINES:
        command = shutil.which(engine)
        asked = [command or "", "inspect", "--type", "image", image]
        if command and subprocess.run(asked, capture_output=True, check=False).returncode == 0:  # noqa: S603
            return engine
    return None


def build_image(target: str, tag: str, engine: str) -> str:
    """Runs ``mlpatterns image build TARGET --tag TAG --builder ENGINE``; returns the last line that it prints.

    Args:
        target: the name of a pattern, a Python file or an ONNX file.
        tag: the name and tag of the new image.
        engine: ``docker``, ``podman`` or ``buildah``.

    Raises:
        UserError: the command failed; the error quotes its last lines.
    """
    return _image_build(target, "--tag", tag, "--builder", engine).strip().rpartition("\n")[2]


def _image_build(*words: str) -> str:
    command = [sys.executable, "-m", "mlpatterns", "image", "build", *words]
    done = subprocess.run(command, text=True, capture_output=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        lines = "\n".join(f"{done.stdout}{done.stderr}".strip().splitlines()[-LAST_LINES:])
        raise UserError(f"mlpatterns image build {' '.join(words)} failed; its last lines were:\n{lines}")
    return done.stdout
