"""Sends an HTTP request of a command to a server; every error is one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import msgspec

from mlpatterns.user_errors import UserError, WrongUse

if TYPE_CHECKING:
    from urllib.request import Request

__all__ = ["NotFoundOnServer", "address", "send_request"]

PATIENCE = 86_400  # seconds; every system accepts it as the timeout of a socket
LONGEST = 300  # characters to show of an error body without our `error` field


class NotFoundOnServer(UserError):
    """The server answered 404."""


def address(url: str) -> SplitResult:
    """The parts of the URL of a server. The default scheme is http.

    Raises:
        WrongUse: `url` is not an http or https URL.
    """
    wrong = WrongUse(f"{url!r} is not an address; write one like http://127.0.0.1:8000")
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # an unclosed bracket, an invalid port
        raise wrong from None
    if not known or not url.isascii() or not url.isprintable() or " " in url:
        raise wrong
    return parts


def send_request(method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: float) -> str:
    """Sends JSON to the http URL `url` and returns the text of the response.

    Raises:
        WrongUse: `timeout` is out of range.
        NotFoundOnServer: the server answers 404.
        UserError: the server does not answer within `timeout` seconds, or answers with an error.
    """
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    if not 0 < timeout <= PATIENCE:
        raise WrongUse(f"--timeout is a number of seconds, greater than 0 and at most {PATIENCE}, not {timeout:g}")
    sent = {"content-type": "application/json", **headers}
    request: Request = Request(url, body, sent, method=method)  # noqa: S310 - `address` accepts only http(s)
    try:
        with urlopen(request, timeout=timeout) as answer:  # noqa: S310
            text: str = answer.read().decode()
            return text
    except HTTPError as error:
        kind = NotFoundOnServer if error.code == 404 else UserError
        raise kind(_sentence(error.read().decode(errors="replace"), error.code)) from error
    except UnicodeEncodeError:
        raise WrongUse("a header cannot hold these characters; check --api-key") from None
    except TimeoutError as error:
        raise UserError(f"{url} did not answer in {timeout:g} s") from error
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"no answer from {url}: {getattr(reason, 'strerror', None) or reason}") from error


def _sentence(body: str, status: int) -> str:
    """The sentence about a response with an error status."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        found = None
    said = found.get("error") if isinstance(found, dict) else None
    return f"the server answered {status}: {said or body.strip()[:LONGEST] or 'nothing more'}"
