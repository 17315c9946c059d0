"""Who may ask: the same gate as of every other server, as FastAPI's dependencies, so that its document says it."""

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
    """Lets in who has an API key, or everybody if there are none.

    Raises:
        Denied: the caller may not.
    """
    _admit(request, "user")


def command(request: Request, _: Annotated[str | None, Depends(TOKEN)]) -> None:
    """Lets in who knows the admin token; what deletes is off without one.

    Raises:
        Denied: the caller may not, or commands are off.
    """
    _admit(request, "token")


def command_if_on(request: Request, _: Annotated[str | None, Depends(TOKEN)]) -> None:
    """Lets in who knows the admin token, or everybody where commands are off: what a registry on a laptop needs too.

    Raises:
        Denied: there is a token, and the caller has another or none.
    """
    if cast("Gate", request.app.state.gate).commands:
        _admit(request, "token")


def _admit(request: Request, access: Access) -> None:
    cast("Gate", request.app.state.gate).admit(access, dict(request.scope["headers"]))
