"""What an image says of itself: the keys of the OCI image specification, and version and digest of each model.

https://github.com/opencontainers/image-spec/blob/main/annotations.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from msgspec import Struct

__all__ = ["OWN", "PackedModel", "labels"]

OCI, OWN = "org.opencontainers.image", "io.github.mlpatterns"


class PackedModel(Struct, frozen=True):
    """A model in an image: what it is served as, its version, and the SHA-256 of its ONNX file, in hex."""

    name: str
    version: str
    sha256: str


def labels(name: str, base: str, models: Sequence[PackedModel], description: str = "") -> Mapping[str, str]:
    """The labels of an image; it has the version of its model if it has one model."""
    found = {
        f"{OCI}.title": name,
        f"{OCI}.base.name": base,
        f"{OWN}.version": version("mlpatterns"),
        f"{OWN}.models": " ".join(f"{model.name}:{model.version}" for model in models),
    }
    if description:
        found[f"{OCI}.description"] = description
    if len(models) == 1:
        found[f"{OCI}.version"] = models[0].version
    for model in models:
        found[f"{OWN}.model.{model.name}.version"] = model.version
        found[f"{OWN}.model.{model.name}.sha256"] = model.sha256
    return found
