"""Authentication and access for every protocol. API keys are built in; other schemes are functions of the headers."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Literal

from mlpatterns.errors import Denied

__all__ = ["Access", "Authenticate", "Gate", "api_keys"]

Access = Literal["open", "user", "token"]
"""What a call needs: nothing (health), a user's credentials if the app has any, or the admin token (commands)."""

Authenticate = Callable[[Mapping[bytes, bytes]], str | None]
"""Returns the principal for the request's headers (lower-case names), or raises Denied."""

ADMIN = "admin"  # the principal of a caller with the admin token


class Gate:
    """Admits or denies each call. HTTP and gRPC use the same gate.

    Args:
        authenticate: checks the calls that need a user; None admits everybody.
        admin_token: the token for commands; None or an empty text turns commands off.

    Attributes:
        guarded: the kinds of access for which callers must call `admit`; it admits the others without a check.
    """

    def __init__(self, authenticate: Authenticate | None = None, admin_token: str | None = None) -> None:
        self._authenticate = authenticate
        self._token = admin_token.encode() if admin_token else None
        guarded: set[Access] = {"token"} if authenticate is None else {"token", "user"}
        self.guarded = frozenset(guarded)

    @property
    def commands(self) -> bool:
        """Whether commands are on."""
        return self._token is not None

    @property
    def secured(self) -> bool:
        """Whether users need credentials."""
        return self._authenticate is not None

    def admit(self, access: Access, headers: Mapping[bytes, bytes]) -> str | None:
        """Returns the principal for the credentials in `headers` (lower-case names); None if `access` needs none.

        Raises:
            Denied: the credentials are missing or wrong, or commands are off.
        """
        if access == "token":
            return self._command(headers)
        if access == "user" and self._authenticate is not None:
            return self._authenticate(headers)
        return None

    def _command(self, headers: Mapping[bytes, bytes]) -> str:
        if self._token is None:
            raise Denied("commands are off on this server; its setting admin_token turns them on")
        given = _credential(headers, b"x-admin-token")
        if not given:
            raise Denied("this is a command: send the admin token as x-admin-token, or as authorization: Bearer")
        if not hmac.compare_digest(self._token, given):
            raise Denied("the admin token is not right")
        return ADMIN


def api_keys(keys: Mapping[str, str]) -> Authenticate:
    """Accepts `x-api-key: KEY` or `authorization: Bearer KEY`.

    Args:
        keys: principal -> key.
    """
    secrets = [(principal, key.encode()) for principal, key in keys.items()]

    def authenticate(headers: Mapping[bytes, bytes]) -> str:
        given = _credential(headers, b"x-api-key")
        if not given:
            raise Denied("an API key is needed: send it as x-api-key, or as authorization: Bearer")
        # Every key is compared, each in constant time, so that the time reveals nothing about the keys.
        matches = [principal for principal, key in secrets if hmac.compare_digest(key, given)]
        if not matches:
            raise Denied("the API key is not known")
        return matches[0]

    return authenticate


def _credential(headers: Mapping[bytes, bytes], name: bytes) -> bytes:
    """The secret in the header `name`, or else the one in `authorization: Bearer`."""
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    return headers.get(name) or (key.strip() if scheme.lower() == b"bearer" else b"")
