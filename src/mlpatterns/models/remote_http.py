"""What RemoteModel does with HTTP: where a model is, which headers go along, and one bounded exchange."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

import msgspec
from msgspec import Struct

from mlpatterns.errors import CompositionError, InternalError, PredictionError, error_for
from mlpatterns.oip.status import code_for, seconds_to_wait

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Answered", "HttpSession", "allowed_headers", "model_url", "refusal"]

_MODEL_PATH = re.compile(r"(?P<model>.*/v2/models/(?P<name>[^/]+)(?:/versions/[^/]+)?)")
_CREDENTIAL = re.compile(r"authoriz|authentic|cookie|api[-_]?key|token|secret|passw|credential|session")
_OURS = {
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "inference-header-content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    "x-request-timeout-ms",
}  # fmt: skip
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2

LONGEST_SENTENCE = 500  # characters of another server's error that are passed on
KEEP_ALIVE = 4.0  # seconds; uvicorn closes what is idle after 5, and a call must not meet that
NO_HEADERS = MappingProxyType[str, str]({})
ONE_WRITE = 512 * 1024  # bytes; a larger body goes out in pieces, so that the loop is not held


class Answered(Struct, frozen=True):
    """An HTTP answer, read to its end; `headers` are by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def model_url(url: str, model: str | None, name: str | None) -> tuple[str, str]:
    """The URL of a model and its name, from a base, or from a whole `…/v2/models/NAME[/versions/V]`.

    Raises:
        CompositionError: `url` is no such URL, holds credentials, or no model is named.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise CompositionError(f"a remote model's URL must be http://HOST[:PORT][/PREFIX], not {url.split('@')[-1]!r}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise CompositionError("a remote model's URL must hold no credentials, no ? and no #")
    whole = _MODEL_PATH.fullmatch(parts.path.rstrip("/"))
    if whole:
        found = unquote(whole["name"])
        if model not in (None, found):
            raise CompositionError(f"the URL is of the model {found!r}, not {model!r}; name it once")
        return f"{parts.scheme}://{parts.netloc}{whole['model']}", found
    wanted = model or name
    if not wanted:
        raise CompositionError("say which model: RemoteModel(url, 'NAME'), or a URL that ends in /v2/models/NAME")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v2')}"
    return f"{base}/v2/models/{quote(wanted, safe='')}", wanted


def allowed_headers(names: Iterable[str]) -> tuple[str, ...]:
    """The headers that may be forwarded, in lower case.

    Raises:
        CompositionError: one of them carries credentials, belongs to the connection, or is no header's name.
    """
    lowered = tuple(name.lower() for name in names)
    for name in lowered:
        if _CREDENTIAL.search(name):
            raise CompositionError(f"the header {name!r} may carry credentials, which are never forwarded")
        if name in _OURS or not _HEADER.fullmatch(name):
            raise CompositionError(f"the header {name!r} cannot be forwarded")
    return lowered


class HttpSession:
    """A pool of connections, for one event loop: build it there.

    Args:
        connect_timeout: seconds to reach the server.
        max_bytes: of one answer.
    """

    def __init__(self, connect_timeout: float, max_bytes: int) -> None:
        import aiohttp  # here, since it takes longer to import than all of mlpatterns

        self.errors = (aiohttp.ClientError, OSError)  # a timeout to connect is both this and a TimeoutError
        self._max_bytes = max_bytes
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        )

    async def close(self) -> None:
        await self._session.close()

    async def call(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> Answered:
        """One exchange; redirects are answers like any other.

        Raises:
            InternalError: the answer is larger than it may be, or compressed though it must not be.
            aiohttp.ClientError, OSError: the server was not reached, or left in between (`errors`).
        """
        from yarl import URL

        data = io.BytesIO(body) if body is not None and len(body) > ONE_WRITE else body
        exchange = self._session.request(
            method, URL(url, encoded=True), data=data, headers=headers, allow_redirects=False
        )
        async with exchange as answer:
            said = {name.lower(): value for name, value in answer.headers.items()}
            if said.get("content-encoding", "identity").lower() != "identity":
                answer.close()
                raise InternalError("the remote model answered in an encoding that was not asked for")
            return Answered(answer.status, said, await self._read(answer))

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        if answer.content_length is not None and answer.content_length <= self._max_bytes:
            return await answer.read()
        body = bytearray()
        if answer.content_length is None:
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > self._max_bytes:
                    break
            else:
                return bytes(body)
        answer.close()  # what is left of it is not worth reading
        raise InternalError(f"the remote model's answer is larger than the {self._max_bytes} bytes that are accepted")


def refusal(name: str, answer: Answered) -> PredictionError:
    """The error that another server's answer means, in its own words if it has any."""
    try:
        said: Any = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = None
    text = said.get("error") if isinstance(said, dict) else None
    if not isinstance(text, str) or not text:
        text = f"the remote model {name!r} answered HTTP {answer.status}"
    wait = seconds_to_wait(answer.headers.get("retry-after"))
    return error_for(code_for(answer.status), text[:LONGEST_SENTENCE], retry_after=wait)
