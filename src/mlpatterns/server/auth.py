"""Who may ask: API keys built in, anything else a function from headers to a principal."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from mlpatterns.errors import Denied

__all__ = ["Authenticate", "api_keys"]

Authenticate = Callable[[Mapping[bytes, bytes]], str | None]
"""From the request's headers (lower-case names) to the principal; raises Denied."""


def api_keys(keys: Mapping[str, str]) -> Authenticate:
    """Accepts `x-api-key: KEY` or `authorization: Bearer KEY`.

    Args:
        keys: principal -> key.
    """
    secrets = [(principal, key.encode()) for principal, key in keys.items()]

    def authenticate(headers: Mapping[bytes, bytes]) -> str:
        given = headers.get(b"x-api-key") or _bearer(headers.get(b"authorization", b""))
        if not given:
            raise Denied("an API key is needed: send it as x-api-key, or as authorization: Bearer")
        # Every key is compared, each in constant time, so that the time taken tells nothing.
        matches = [principal for principal, key in secrets if hmac.compare_digest(key, given)]
        if not matches:
            raise Denied("the API key is not known")
        return matches[0]

    return authenticate


def _bearer(header: bytes) -> bytes:
    scheme, _, key = header.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""
