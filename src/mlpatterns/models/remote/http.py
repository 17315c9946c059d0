"""The HTTP transport of RemoteModel: requests and responses with raw tensors, up to a size limit."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from mlpatterns.errors import InternalError, PredictionError
from mlpatterns.metadata import ModelMetadata
from mlpatterns.models.remote.transport import LONGEST_SENTENCE, Unreached
from mlpatterns.oip.client_codec import DecodedResponse, decode_response, encode_request
from mlpatterns.oip.codec import JSON_LENGTH_HEADER, parse_json_length
from mlpatterns.oip.description import decode_metadata
from mlpatterns.oip.status import CODE_HEADER, code_for, refusal_of, seconds_to_wait
from mlpatterns.predictor import InferenceRequest

if TYPE_CHECKING:
    import aiohttp

__all__ = ["HttpTransport"]


KEEP_ALIVE = 4.0  # seconds; shorter than the 5 s after which uvicorn closes idle connections
NO_HEADERS = MappingProxyType[str, str]({})
ONE_WRITE = 512 * 1024  # bytes; a larger body is sent in pieces, so that the event loop is not blocked


class HttpResponse(Struct, frozen=True):
    """A complete HTTP response. The names in `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpTransport:
    """A model over HTTP; see Transport.

    Args:
        url: the URL of the model, as `model_url` returns it.
        name: the name of the model in error texts.
        connect_timeout: seconds to reach the server.
        max_bytes: the maximum size of one answer in bytes.
    """

    def __init__(self, url: str, name: str, connect_timeout: float, max_bytes: int) -> None:
        self._url, self._name = url, name
        self._session = HttpSession(connect_timeout, max_bytes)

    async def describe(self, seconds: float) -> tuple[ModelMetadata, str | None]:
        return decode_metadata((await self._call("GET", self._url)).body)

    async def infer(
        self, request: InferenceRequest, metadata: ModelMetadata, headers: Mapping[str, str], seconds: float
    ) -> DecodedResponse:
        body, json_length = encode_request(
            request.inputs, metadata.inputs, request.id, request.parameters, request.outputs
        )
        sent = {
            **_in_utf8(headers),
            "x-request-timeout-ms": str(max(1, int(seconds * 1000))),
            "content-type": "application/octet-stream",
            JSON_LENGTH_HEADER: str(json_length),
        }
        answer = await self._call("POST", f"{self._url}/infer", body, sent)
        length = answer.headers.get(JSON_LENGTH_HEADER.lower())
        try:
            return decode_response(answer.body, parse_json_length(length.encode() if length else None))
        except PredictionError as error:
            raise InternalError(error.message) from None

    async def close(self) -> None:
        await self._session.close()

    async def _call(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> HttpResponse:
        try:
            answer = await self._session.call(method, url, body, headers)
        except self._session.errors as error:
            raise Unreached from error
        if answer.status != 200:
            raise refusal(self._name, answer)
        return answer


class HttpSession:
    """A pool of connections for one event loop. Create it on that loop.

    Args:
        connect_timeout: seconds to reach the server.
        max_bytes: the maximum size of one answer in bytes.
    """

    def __init__(self, connect_timeout: float, max_bytes: int) -> None:
        import aiohttp  # imported here, because this import takes longer than that of mlpatterns

        self.errors = (aiohttp.ClientError, OSError)  # a connect timeout is both a ClientError and a TimeoutError
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
    ) -> HttpResponse:
        """Sends one request and reads the response. Redirects are not followed; they are returned as responses.

        Raises:
            InternalError: the response is larger than `max_bytes`, or has a content encoding.
            aiohttp.ClientError, OSError: the server was not reached, or the connection broke (see `errors`).
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
            return HttpResponse(answer.status, said, await self._read(answer))

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
        answer.close()  # do not read the rest
        raise InternalError(f"the remote model's answer is larger than the {self._max_bytes} bytes that are accepted")


def _in_utf8(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as text that aiohttp's UTF-8 encoding turns into the original bytes. The values in `headers` have one
    character for each byte. Values whose bytes are not UTF-8 cannot be sent and are left out."""
    sent = {}
    for name, value in headers.items():
        with suppress(UnicodeError):
            sent[name] = value if value.isascii() else value.encode("latin-1").decode()
    return sent


def refusal(name: str, answer: HttpResponse) -> PredictionError:
    """The error for another server's error response, with that server's error text if it has one."""
    try:
        said: Any = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = None
    text = said.get("error") if isinstance(said, dict) else None
    if not isinstance(text, str) or not text:
        text = f"the remote model {name!r} answered HTTP {answer.status}"
    wait = seconds_to_wait(answer.headers.get("retry-after"))
    code = answer.headers.get(CODE_HEADER)
    return refusal_of(code_for(answer.status, code), text[:LONGEST_SENTENCE], code, wait)
