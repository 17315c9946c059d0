"""What `mlpatterns registry` needs of a model registry: one interface for its database and for its HTTP service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

__all__ = ["RegistryAccess", "Row", "TagOwner", "words"]

Row = tuple[str, ...]
TagOwner = tuple[str, int | None]
"""The thing that has tags: the name of a model, and the number of its version, or None for the model itself."""


class RegistryAccess(Protocol):
    """A model registry. Its refusals are PredictionErrors."""

    def models(self, search: str | None, tags: Sequence[str]) -> list[Row]:
        """(name, last version, aliases, tags) of each."""
        ...

    def versions(self, name: str) -> list[Row]:
        """(number, aliases, where it serves, tags, when it was made, digest) of each."""
        ...

    def behind(self, name: str, number: int, alias: str) -> str:
        """The sentence about a version whose evaluation is far worse than that of the alias; else an empty string."""
        ...

    def move(
        self, name: str, alias: str, number: int, expected: int | Literal["any"] | None, *, force: bool = False
    ) -> None:
        """Moves an alias to a version, if the alias is at the expected version now.

        Args:
            expected: the number of that version, None for no alias yet, or ``"any"``.
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
    """Tags as the command line shows them."""
    return ", ".join(f"{key}={value}" for key, value in sorted(tags.items()))
