"""The Registry for servers: it finds the version for a name, an alias or a number, and the location of its files."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from mlpatterns.references import RegisteredReference

__all__ = ["Registry", "VersionFiles"]


class VersionFiles(Struct, frozen=True):
    """The location of a version: its number, its folder relative to the artifacts' root, the manifest's digest."""

    version: int
    folder: str
    manifest_sha256: str


class Registry(Protocol):
    """Looks up versions. Opening a registry fails only if the URL is malformed; if it is down, its methods fail."""

    async def find(self, reference: RegisteredReference) -> VersionFiles:
        """The version that `reference` stands for now.

        Raises:
            UnknownName: no such model, alias or version.
            RegistryDown: the registry does not answer.
            MissingExtra: its driver is not installed.
        """
        ...

    async def close(self) -> None: ...
