"""Opens the model registry of the settings for a command: its database or its HTTP service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlpatterns.cli.registry_access import RegistryAccess
from mlpatterns.errors import NotFound
from mlpatterns.registry.urls import is_service
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import UnknownName, WrongUse

__all__ = ["opened", "suggesting"]


@contextmanager
def opened() -> Iterator[RegistryAccess]:
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
    from mlpatterns.cli.registry_database import opened_database

    with opened_database(settings.registry_url, settings.artifacts_url) as database:
        yield database


@contextmanager
def suggesting(book: RegistryAccess, name: str) -> Iterator[None]:
    """That `book` does not have the model `name` is told with the name nearest to it.

    Raises:
        UnknownName: there is no model of this name.
        WrongUse: there is, without the version or alias that was asked for.
    """
    try:
        yield
    except NotFound as error:
        known = [row[0] for row in book.models(None, ())]
        if name in known:  # then it is a version or an alias that is not there
            raise WrongUse(str(error)) from error
        raise UnknownName("model", name, known, "`mlpatterns registry list` shows all") from None
