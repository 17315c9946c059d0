"""The interface through which `mlpatterns registry` uses a model registry: its database or its HTTP service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

__all__ = ["RegistryAccess", "Row", "TagOwner", "words"]

Row = tuple[str, ...]
TagOwner = tuple[str, int | None]
"""The owner of tags: the name of a model, and the number of its version, or None for the model itself."""


class RegistryAccess(Protocol):
    """A model registry. If it refuses a request, it raises a PredictionError."""

    def models(self, search: str | None, tags: Sequence[str]) -> list[Row]:
        """One row for each model: (name, last version, aliases, tags)."""
        ...

    def versions(self, name: str) -> list[Row]:
        """One row for each version: (number, aliases, where it serves, tags, when it was made, digest)."""
        ...

    def behind(self, name: str, number: int, alias: str) -> str:
        """A sentence if the version's evaluation is far worse than that of the alias's version; else an empty text."""
        ...

    def move(
        self, name: str, alias: str, number: int, expected: int | Literal["any"] | None, *, force: bool = False
    ) -> None:
        """Moves an alias to a version, if the alias names the expected version now.

        Args:
            expected: the number of that version, None if there must be no alias yet, or ``"any"``.
            force: skip the checks of the service.
        """
        ...

    def tag(self, owner: TagOwner, given: Mapping[str, str]) -> str:
        """Sets tags, removes those with an empty value, and returns all tags as text."""
        ...

    def delete(self, name: str, number: int) -> str:
        """Deletes a version. Returns a sentence about its files, or an empty string."""
        ...

    def sweep(self, *, dry: bool) -> list[tuple[str, int]]:
        """Removes artifacts that no version names; returns the URL and the bytes of each."""
        ...


def words(tags: Mapping[str, Any]) -> str:
    """Tags as text for the command line."""
    return ", ".join(f"{key}={value}" for key, value in sorted(tags.items()))
