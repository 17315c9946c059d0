"""Opens the model registry of the settings for a command: its database or its HTTP service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlpatterns.cli.registry_access import RegistryAccess
from mlpatterns.errors import NotFound
from mlpatterns.registry.urls import is_service
from mlpatterns.settings import load_settings
from mlpatterns.user_errors import UnknownName, WrongUse

__all__ = ["opened_registry", "suggest_nearest"]


@contextmanager
def opened_registry() -> Iterator[RegistryAccess]:
    """Opens the registry of the settings, and never creates one.

    Raises:
        UserError: the registry cannot be used, or it refuses a request.
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
def suggest_nearest(registry: RegistryAccess, name: str) -> Iterator[None]:
    """Replaces a NotFound of `registry` with an error for the user, which suggests the nearest name.

    Raises:
        UnknownName: there is no model `name`.
        WrongUse: the model exists, but not the version or alias.
    """
    try:
        yield
    except NotFound as error:
        known = [row[0] for row in registry.models(None, ())]
        if name in known:  # then the version or the alias does not exist
            raise WrongUse(str(error)) from error
        raise UnknownName("model", name, known, "`mlpatterns registry list` shows all") from None
