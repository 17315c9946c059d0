"""The request of a load. It is checked, and encoded as HTTP/1.1, before the load begins."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from mlpatterns.user_errors import WrongUse

__all__ = ["METHODS", "Origin", "Target", "check_header", "parse_url"]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
OURS = {"content-length", "transfer-encoding", "connection", "expect", "upgrade"}  # headers that frame messages
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
AGENT = "mlpatterns-load"


class Origin(Struct, frozen=True):
    """The origin that connections go to: `scheme` is http or https."""

    scheme: str
    host: str
    port: int


class Target(Struct, frozen=True):
    """One request.

    Args:
        url: http or https, with a host.
        headers: pairs of name and value; Host, Content-Type (JSON, if there is a body) and User-Agent have defaults.
        method: the HTTP method.
        body: the bytes of the body.

    Raises:
        WrongUse: HTTP does not allow the method, the URL or a header.
    """

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __post_init__(self) -> None:
        parse_url(self.url)
        if self.method not in METHODS:
            raise WrongUse(f"{self.method!r} is not a method; write one of {', '.join(METHODS)}")
        for name, value in self.headers:
            check_header(name, value)

    @property
    def origin(self) -> Origin:
        parts = parse_url(self.url)
        return Origin(parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))

    def wire(self) -> bytes:
        """The bytes of the request."""
        parts = parse_url(self.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        given = {name.lower() for name, _ in self.headers}
        lines = [f"{self.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)]
        lines += [f"{name}: {value}" for name, value in self._defaults(parts).items() if name.lower() not in given]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body

    def _defaults(self, parts: SplitResult) -> Mapping[str, str]:
        found = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": AGENT}
        if self.body:
            found["Content-Type"] = "application/json"
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            found["Content-Length"] = str(len(self.body))
        return found


def parse_url(url: str) -> SplitResult:
    """The parts of an http or https URL.

    Raises:
        WrongUse: it is not a valid http or https URL.
    """
    wrong = WrongUse(f"{url[:200]!r} is not an address to load; write one like http://127.0.0.1:8000/predict")
    if not re.fullmatch(r"[\x21-\x7e]+", url):
        raise wrong
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or "@" in parts.netloc:
            raise wrong
    except ValueError:
        raise wrong from None
    return parts


def check_header(name: str, value: str) -> None:
    """Checks a header that the user gave.

    Raises:
        WrongUse: it is not a valid header, or the generator sets it itself.
    """
    if not TOKEN.fullmatch(name):
        raise WrongUse(f"{name[:100]!r} is not a header name")
    if not VALUE.fullmatch(value):
        raise WrongUse(f"the header {name} has a character that no header may have")
    if name.lower() in OURS:
        raise WrongUse(f"the header {name} is set by the generator; leave it out")


def header_pairs(headers: Mapping[str, str] | Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The headers as pairs of name and value."""
    return tuple(headers.items() if isinstance(headers, Mapping) else headers)
