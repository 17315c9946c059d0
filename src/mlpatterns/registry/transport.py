"""JSON over one HTTP connection to the model DB's service, with only the standard library."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec

from mlpatterns.errors import Unavailable, error_for
from mlpatterns.oip.status import code_for
from mlpatterns.redaction import redact
from mlpatterns.user_errors import WrongUse

__all__ = ["ServiceTransport", "segment"]

T = TypeVar("T")
PAGE = 500  # rows that one request of a listing returns at most


class ServiceTransport:
    """A connection to an HTTP service.

    Args:
        url: its address, ``http://HOST:PORT``, followed by the path of a proxy, if there is one.
        prefix: precedes every path.
        headers: sent with each request.
        timeout: seconds that each network operation may take.

    Raises:
        UserError: `url` is not an http or https address.
    """

    def __init__(self, url: str, prefix: str, headers: Mapping[str, str], timeout: float) -> None:
        self._headers = dict(headers)
        try:
            parts = urlsplit(url)
            kind = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}[parts.scheme]
            self._connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        except (KeyError, ValueError) as error:
            raise WrongUse(f"{redact(url)!r} is not the address of a service; write http://HOST:PORT") from error
        self._prefix = f"{parts.path.rstrip('/')}{prefix}"

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, kind: type[T], body: Any = None) -> T:
        """Sends a request and returns the answer, decoded as `kind`.

        Raises:
            PredictionError: the error with which the service answered.
            Unavailable: the service did not answer, or its answer is not a `kind`.
        """
        return _read(self._exchange(method, path, body)[0], kind)

    def delete(self, path: str) -> None:
        self._exchange("DELETE", path, None)

    def pages(self, path: str, kind: type[T], query: Mapping[str, Any]) -> Iterator[T]:
        """Every row of a listing. Each page is requested when its first row is needed."""
        asked = {name: value for name, value in query.items() if value is not None}
        after: dict[str, str] | None = {}
        while after is not None:
            parameters = urlencode({**asked, "limit": PAGE, **after}, doseq=True)
            content, link = self._exchange("GET", f"{path}?{parameters}", None)
            yield from _read(content, list[kind])  # type: ignore[valid-type]
            after = None if link is None else {"after": _place(link)}

    def _exchange(self, method: str, path: str, body: Any) -> tuple[bytes, str | None]:
        """(content, link header) of the response. If the connection fails, only a GET is sent again."""
        try:
            status, content, link = self._once(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            if method != "GET":
                raise _unreached(error) from error
            try:
                status, content, link = self._once(method, path, body)
            except (OSError, http.client.HTTPException) as again:
                raise _unreached(again) from again
        if status >= 400:
            raise error_for(code_for(status), _sentence(content, status))
        return content, link

    def _once(self, method: str, path: str, body: Any) -> tuple[int, bytes, str | None]:
        data = None if body is None else msgspec.json.encode(body)
        headers = self._headers if data is None else {**self._headers, "content-type": "application/json"}
        try:
            self._connection.request(method, f"{self._prefix}{path}", data, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("link")
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request opens a new connection
            raise


def segment(text: str) -> str:
    """Escapes text for use as one segment of a path."""
    return quote(text, safe="")


def _place(link: str) -> str:
    """The position of the next page, from the link to it: ``<?limit=500&after=PLACE>; rel="next"``."""
    return parse_qs(link.partition("<?")[2].partition(">")[0])["after"][0]


def _read(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise Unavailable("what answers there is not a model DB of this version") from error


def _unreached(error: Exception) -> Unavailable:
    return Unavailable(f"the model DB did not answer: {str(error).lower() or type(error).__name__}")


def _sentence(content: bytes, status: int) -> str:
    try:
        return str(msgspec.json.decode(content, type=dict[str, Any])["error"])
    except (msgspec.MsgspecError, KeyError):
        return f"the model DB answered with status {status}"
