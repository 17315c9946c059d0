"""What `mlpatterns registry` shows and does: one interface over the registry's database and over its service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from mlpatterns.errors import NotFound, UnknownName, UserError
from mlpatterns.registry.urls import is_service
from mlpatterns.settings import load_settings

__all__ = ["Book", "opened", "suggesting", "words"]

Row = tuple[str, ...]
Owner = tuple[str, int | None]
"""A model's name, and a version's number if it is of one."""


class Book(Protocol):
    """A registry; what it refuses is a PredictionError."""

    def models(self, search: str | None, tags: Sequence[str]) -> list[Row]:
        """(name, last version, aliases, tags) of each."""
        ...

    def versions(self, name: str) -> list[Row]:
        """(number, aliases, where it serves, tags, when it was made, digest) of each."""
        ...

    def move(self, name: str, alias: str, number: int, expected: int | Literal["any"] | None) -> None: ...

    def tag(self, owner: Owner, given: Mapping[str, str]) -> str:
        """Sets tags, or takes away those of no value; returns what there is then."""
        ...

    def delete(self, name: str, number: int) -> str:
        """Deletes a version; returns what is to be said of its files, if anything is."""
        ...

    def sweep(self, *, dry: bool) -> list[tuple[str, int]]:
        """Removes artifacts that no version names; returns the URL and the bytes of each."""
        ...


@contextmanager
def opened() -> Iterator[Book]:
    """The registry of the settings. What it refuses is one sentence. Asking does not make one.

    Raises:
        UserError: it cannot be used, or refuses.
    """
    settings = load_settings().settings
    if is_service(settings.registry_url):
        from mlpatterns.cli.registry_service import opened_service

        with opened_service(settings.registry_url, settings.admin_token) as service:
            yield service
        return
    from mlpatterns.registry.urls import sqlite_file

    file = sqlite_file(settings.registry_url)
    if file is not None and not file.exists():
        raise UserError("there is no registry yet; `mlpatterns train NAME` or `mlpatterns registry import` makes one")
    from mlpatterns.cli.registry_database import opened_database

    with opened_database(settings.registry_url, settings.artifacts_url) as database:
        yield database


@contextmanager
def suggesting(book: Book, name: str) -> Iterator[None]:
    """That `book` does not have the model `name` is told with the name nearest to it.

    Raises:
        UnknownName: there is no model of this name.
    """
    try:
        yield
    except NotFound:
        known = [row[0] for row in book.models(None, ())]
        if name in known:  # then it is a version or an alias that is not there
            raise
        raise UnknownName("model", name, known, "`mlpatterns registry list` shows all") from None


def words(tags: Mapping[str, Any]) -> str:
    """Tags as the command line shows them."""
    return ", ".join(f"{key}={value}" for key, value in sorted(tags.items()))
