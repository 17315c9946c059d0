"""The engines that build images: docker, podman or buildah."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from mlpatterns.release.stamps import epoch
from mlpatterns.user_errors import UserError, WrongUse

__all__ = ["ENGINES", "BuiltImage", "ImageEngine", "check_tag", "find_engine"]

# Each with a command that succeeds if the engine can build; docker needs its daemon for that.
ENGINES = {
    "docker": ("version", "--format", "{{.Server.Version}}"),
    "podman": ("version", "--format", "{{.Client.Version}}"),
    "buildah": ("version",),
}
PATIENCE = 20.0  # seconds for a query to an engine
# A name by the OCI distribution specification: [HOST[:PORT]/]PATH[:TAG].
WORD = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
NAME = re.compile(rf"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?{WORD}(?:/{WORD})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?")
LAST_WORDS = 20  # lines of a failed build that an error quotes


def check_tag(tag: str) -> None:
    """Checks a tag before the build, because engines check it only afterwards.

    Raises:
        WrongUse: engines would refuse it.
    """
    if not NAME.fullmatch(tag):
        raise WrongUse(f"{tag!r} is not an image name; write one like team/iris:1, in small letters")


class BuiltImage(Struct, frozen=True):
    """A built image: its digest (``sha256:…``), its size in bytes including the base, and the build time in seconds."""

    tag: str
    digest: str
    bytes: int
    seconds: float


class ImageEngine(Struct, frozen=True):
    """One of ENGINES, by the path of its command."""

    name: str
    command: str

    def has(self, image: str) -> bool:
        """Whether `image` is on this machine, so that a build does not need to fetch it."""
        return _asked(self.command, "inspect", "--type", "image", image).returncode == 0

    def words(self, folder: Path, tag: str, digest_file: Path) -> list[str]:
        """The command that builds the context in `folder`; it writes the image's digest into `digest_file`."""
        own = ["--build-arg", f"SOURCE_DATE_EPOCH={epoch()}"]
        if self.name != "docker":
            # Docker's image format supports health checks; the OCI format does not.
            own = ["--format", "docker", "--timestamp", str(epoch())]
        return [self.command, "build", *own, "--tag", tag, "--iidfile", str(digest_file), str(folder)]

    def build(self, folder: Path, tag: str) -> BuiltImage:
        """Builds an image.

        Raises:
            UserError: the engine failed; the text quotes its last lines.
        """
        with tempfile.TemporaryDirectory(prefix="mlpatterns-image-") as own:
            digest_file = Path(own) / "digest"
            began = time.perf_counter()
            done = subprocess.run(  # noqa: S603 - the engine that was found, with words of our own
                self.words(folder, tag, digest_file),
                encoding="utf-8", errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            seconds = time.perf_counter() - began
            if done.returncode:
                words = "\n".join(done.stdout.strip().splitlines()[-LAST_WORDS:])
                raise UserError(f"{self.name} could not build {tag}; its last output:\n{words}")
            digest = digest_file.read_text().strip()
        return BuiltImage(tag, digest, self._bytes(digest), seconds)

    def _bytes(self, digest: str) -> int:
        """The size of an image in bytes, including its base; layers that it shares with other images count in full."""
        if self.name == "buildah":
            return _size(self.command, digest)
        asked = _asked(self.command, "image", "inspect", "--format", "{{.Size}}", digest)
        return int(asked.stdout.strip() or 0)


def find_engine(name: str | None = None) -> ImageEngine:
    """The engine called `name`, or the first one that works.

    Args:
        name: ``docker``, ``podman`` or ``buildah``; by default the first that works.

    Raises:
        UserError: no engine works, or that engine does not.
    """
    if name is not None and name not in ENGINES:
        raise WrongUse(f"{name!r} cannot build images here; --builder takes {', '.join(ENGINES)}")
    ill = []
    for engine in _found([name] if name else list(ENGINES)):
        if _asked(engine.command, *ENGINES[engine.name]).returncode == 0:
            return engine
        ill.append(engine.name)
    what = name or "docker, podman or buildah"
    state = f"{' and '.join(ill)} is here but does not answer" if ill else f"there is no {what} here"
    raise UserError(f"{state}; start or install {what}, or write the build context with --context-only DIR "
                    "and build it elsewhere")  # fmt: skip


def _found(names: list[str]) -> Iterator[ImageEngine]:
    for name in names:
        command = shutil.which(name)
        if command:
            yield ImageEngine(name, command)


def _asked(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            words, encoding="utf-8", errors="replace", capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", "it did not answer")


def _size(command: str, digest: str) -> int:
    """The size of an image of buildah in bytes: the sum over its layers in stored form. Only manifests have sizes."""
    asked = _asked(command, "inspect", "--type", "image", "--format", "{{.Manifest}}", digest)
    manifest = msgspec.json.decode(asked.stdout or "{}", type=dict[str, object])
    layers = msgspec.convert(manifest.get("layers", []), list[dict[str, object]])
    return sum(int(str(layer.get("size", 0))) for layer in layers)
