"""The Registry as a server sees it: which version a name, an alias or a number stands for, and where its files are."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from mlpatterns.references import RegisteredReference

__all__ = ["Answer", "Registry"]


class Answer(Struct, frozen=True):
    """Where a version is: its number, its folder relative to the artifacts' root, the manifest's digest."""

    version: int
    folder: str
    manifest_sha256: str


class Registry(Protocol):
    """Looks up versions. Opening one fails on a malformed URL only: one that is down is found out in use."""

    async def find(self, reference: RegisteredReference) -> Answer:
        """The version that `reference` stands for now.

        Raises:
            UnknownName: no such model, alias or version.
            RegistryDown: it does not answer.
            MissingExtra: its driver is not installed.
        """
        ...

    async def close(self) -> None: ...
