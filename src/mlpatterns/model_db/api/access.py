"""Authorization: the gate of every other server as FastAPI's dependencies, so that the OpenAPI document shows it."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader

from mlpatterns.server.auth import Access, Gate

__all__ = ["command", "command_if_on", "user"]

# Their names are those of every server's document; without names, one would take the other's place in it.
KEY = APIKeyHeader(name="x-api-key", scheme_name="apiKey", auto_error=False,
                   description="Needed where the setting api_keys is set.")  # fmt: skip
TOKEN = APIKeyHeader(name="x-admin-token", scheme_name="adminToken", auto_error=False,
                     description="The setting admin_token.")  # fmt: skip


def user(request: Request, _: Annotated[str | None, Depends(KEY)]) -> None:
    """Admits callers with an API key, or all callers if there are no keys.

    Raises:
        Denied: the caller may not.
    """
    _admit(request, "user")


def command(request: Request, _: Annotated[str | None, Depends(TOKEN)]) -> None:
    """Admits callers with the admin token. Without a token, commands that delete are off.

    Raises:
        Denied: the caller may not, or commands are off.
    """
    _admit(request, "token")


def command_if_on(request: Request, _: Annotated[str | None, Depends(TOKEN)]) -> None:
    """Admits callers with the admin token, or all callers if there is none: a registry on a laptop needs this too.

    Raises:
        Denied: there is a token, and the caller has another or none.
    """
    if cast("Gate", request.app.state.gate).commands:
        _admit(request, "token")


def _admit(request: Request, access: Access) -> None:
    cast("Gate", request.app.state.gate).admit(access, dict(request.scope["headers"]))
