"""The Registry for servers: finds a model version by alias or number, and the location of its files."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from mlpatterns.references import RegisteredReference

__all__ = ["Registry", "VersionFiles"]


class VersionFiles(Struct, frozen=True):
    """A version's number, its folder relative to the root of all artifacts, and the digest of its manifest."""

    version: int
    folder: str
    manifest_sha256: str


class Registry(Protocol):
    """Looks up versions. Opening a registry fails only if the URL is malformed; if it is down, its methods fail."""

    async def find(self, reference: RegisteredReference) -> VersionFiles:
        """The version that `reference` stands for now.

        Raises:
            UnknownName: there is no such model, alias or version.
            RegistryDown: the registry does not answer.
            MissingExtra: its driver is not installed.
        """
        ...

    async def close(self) -> None: ...
