"""What `mlpatterns registry` shows and does: one interface over the registry's database and over its service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

__all__ = ["RegistryAccess", "Row", "TagOwner", "words"]

Row = tuple[str, ...]
TagOwner = tuple[str, int | None]
"""A model's name, and a version's number if it is of one."""


class RegistryAccess(Protocol):
    """A registry; what it refuses is a PredictionError."""

    def models(self, search: str | None, tags: Sequence[str]) -> list[Row]:
        """(name, last version, aliases, tags) of each."""
        ...

    def versions(self, name: str) -> list[Row]:
        """(number, aliases, where it serves, tags, when it was made, digest) of each."""
        ...

    def behind(self, name: str, number: int, alias: str) -> str:
        """The sentence for a version that was measured to be far worse than what the alias names; or nothing."""
        ...

    def move(
        self, name: str, alias: str, number: int, expected: int | Literal["any"] | None, *, force: bool = False
    ) -> None:
        """Lets an alias name a version, if it names what was expected; `force` is for a service that would refuse."""
        ...

    def tag(self, owner: TagOwner, given: Mapping[str, str]) -> str:
        """Sets tags, or takes away those of no value; returns what there is then."""
        ...

    def delete(self, name: str, number: int) -> str:
        """Deletes a version; returns what is to be said of its files, if anything is."""
        ...

    def sweep(self, *, dry: bool) -> list[tuple[str, int]]:
        """Removes artifacts that no version names; returns the URL and the bytes of each."""
        ...


def words(tags: Mapping[str, Any]) -> str:
    """Tags as the command line shows them."""
    return ", ".join(f"{key}={value}" for key, value in sorted(tags.items()))
