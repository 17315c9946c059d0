"""Authorization: the Gate that all servers use, as FastAPI dependencies, so that the OpenAPI document shows it."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader

from mlpatterns.server.auth import Access, Gate

__all__ = ["command", "command_if_on", "user"]

# The scheme names are those in the OpenAPI documents of all servers. Without them, one scheme would replace the other.
KEY = APIKeyHeader(name="x-api-key", scheme_name="apiKey", auto_error=False,
                   description="Needed where the setting api_keys is set.")  # fmt: skip
TOKEN = APIKeyHeader(name="x-admin-token", scheme_name="adminToken", auto_error=False,
                     description="The setting admin_token.")  # fmt: skip


def user(request: Request, _: Annotated[str | None, Depends(KEY)]) -> None:
    """Admits callers with an API key, or all callers if there are no keys.

    Raises:
        Denied: the caller has no valid key.
    """
    _admit(request, "user")


def command(request: Request, _: Annotated[str | None, Depends(TOKEN)]) -> None:
    """Admits callers with the admin token. If no token is set, nobody may use these commands, which delete.

    Raises:
        Denied: the caller has no valid token, or no token is set.
    """
    _admit(request, "token")


def command_if_on(request: Request, _: Annotated[str | None, Depends(TOKEN)]) -> None:
    """Admits callers with the admin token, or all callers if no token is set, as for a registry on a laptop.

    Raises:
        Denied: a token is set, and the caller has another one or none.
    """
    if cast("Gate", request.app.state.gate).commands:
        _admit(request, "token")


def _admit(request: Request, access: Access) -> None:
    cast("Gate", request.app.state.gate).admit(access, dict(request.scope["headers"]))
