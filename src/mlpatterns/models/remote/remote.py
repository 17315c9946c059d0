"""RemoteModel: a model on another server, called with raw tensors over the Open Inference Protocol (HTTP or gRPC)."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from mlpatterns.errors import DeadlineExceeded, InternalError, PredictionError, Unavailable
from mlpatterns.headers import checked_headers, may_be_sent
from mlpatterns.models.leaf import LeafPredictor
from mlpatterns.models.remote.http import HttpTransport
from mlpatterns.models.remote.transport import Transport, Unreached, grpc_url, is_grpc, model_url
from mlpatterns.oip.client_codec import DecodedResponse
from mlpatterns.oip.context import CONTEXT_HEADER, NOTES_PARAMETER, decode_notes, encode_caller
from mlpatterns.predictor import Health, InferenceRequest, InferenceResponse, Runtime

__all__ = ["RemoteModel"]

T = TypeVar("T")

RETRY_FIRST, RETRY_MOST = 0.1, 5.0  # seconds between attempts to reach a server that is down
_VALUE = re.compile("[\t -~\x80-\xff]*")  # a header value by RFC 9110, 5.5, with one character for each byte
DAY = 86_400.0  # seconds: the longest timeout of a call
_READ_PARAMETERS = ("identity", "status", "degraded", NOTES_PARAMETER)


class RemoteModel(LeafPredictor):
    """A model on another server: mlpatterns, or any server that speaks the Open Inference Protocol over HTTP or gRPC.

    If the server is down at start, the start still succeeds, and the metadata is requested again with back-off. Until
    the server answers, `metadata` raises NotStarted and `predict` raises Unavailable.

    Args:
        url: `http://HOST[:PORT][/PREFIX]`, or the full URL of a model, `…/v2/models/NAME`; or `grpc://HOST:PORT`. With
            TLS: `https://` and `grpcs://`, with the certificate authorities that this machine trusts or that
            `SSL_CERT_FILE` names.
        model: its name on that server; by default the name in `url`, else `name`.
        name: the name of this predictor; by default the model's name.
        connect_timeout: seconds to reach the server.
        timeout: seconds for one answer, if the request has no deadline.
        headers: the caller's headers to forward, by default all that the app forwards. Headers with credentials are
            never forwarded.
        max_bytes: the maximum size of one answer in bytes.

    Attributes:
        noted_under: the path under which the notes of the other server appear; by default the path of this predictor.
            A `Service` sets it to the path of the Service.

    Raises:
        CompositionError: `url` or `headers` cannot be used.
        MissingExtra: at start: the URL is for gRPC and grpc is not installed.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        name: str | None = None,
        connect_timeout: float = 2.0,
        timeout: float = 60.0,
        headers: Sequence[str] | None = None,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self.url, self.model = (grpc_url if is_grpc(url) else model_url)(url, model, name)
        super().__init__(name or self.model)
        self.connect_timeout, self.timeout, self.max_bytes = connect_timeout, timeout, max_bytes
        self.headers = None if headers is None else checked_headers(headers, "forwarded")
        self.noted_under = ""
        self._transport: Transport | None = None
        self._asking = False

    def identity(self) -> str | None:
        """The identity that the server reports, or None if it reports none. If an answer comes from another model, the
        identity is None until the server has described that model."""
        return self._identity

    # ---- lifecycle -----------------------------------------------------------------------------------------------

    async def start(self, runtime: Runtime) -> None:
        self._runtime, self.noted_under = runtime, runtime.path
        self._transport = transport = self._opened()
        try:
            await self._describe(transport)
        except PredictionError:
            self._ask_again()

    async def stop(self) -> None:
        transport, self._transport = self._transport, None
        self._metadata = self._identity = None
        self._asking = False
        if transport is not None:
            await transport.close()

    def _opened(self) -> Transport:
        if not is_grpc(self.url):
            return HttpTransport(self.url, self.name, self.connect_timeout, self.max_bytes)
        from mlpatterns.models.remote.grpc import GrpcTransport

        return GrpcTransport(self.url, self.model, self.name, self.connect_timeout, self.max_bytes)

    def _ask_again(self) -> None:
        """Requests the metadata in the background until the server answers."""
        transport = self._transport
        if self._asking or transport is None:
            return
        self._asking = True

        async def ask() -> None:
            delay = RETRY_FIRST
            while self._transport is transport:
                try:
                    await self._describe(transport)
                except PredictionError:
                    await self._runtime.clock.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
                    delay = min(2 * delay, RETRY_MOST)
                else:
                    self._asking = False
                    return

        self._runtime.keep("ask for the metadata", ask)

    async def _describe(self, transport: Transport) -> None:
        described = await self._within(self.connect_timeout, transport, transport.describe(self.connect_timeout))
        if self._transport is transport:
            self._metadata, self._identity = described

    async def check(self) -> Health:
        """Whether the server can be reached now: it must describe its model within `connect_timeout`."""
        transport = self._transport
        if transport is None:
            return Health(False, f"{self.name} is not started")
        try:
            await self._within(self.connect_timeout, transport, transport.describe(self.connect_timeout))
        except PredictionError as error:
            return Health(False, str(error))
        return self.health()

    # ---- predict -------------------------------------------------------------------------------------------------

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        """Sends the request to the server. An error of the server becomes the error with the code of its status.

        Raises:
            Unavailable: the server cannot be reached, or has not described its model yet.
            DeadlineExceeded: the answer did not arrive in time.
            InternalError: the answer is malformed.
        """
        transport, metadata = self._transport, self._metadata
        if transport is None or metadata is None:
            raise Unavailable(f"the remote model {self.name!r} has not answered yet", retry_after=1)
        seconds = self.timeout
        if request.deadline is not None:
            seconds = min(request.deadline - self._runtime.clock.monotonic(), DAY)
        if seconds <= 0:
            raise DeadlineExceeded
        headers = self._headers_for(request)
        # Another server might echo this parameter, so that a client could forge notes.
        if NOTES_PARAMETER in request.parameters:
            request = replace(request, parameters={k: v for k, v in request.parameters.items() if k != NOTES_PARAMETER})
        asked = transport.infer(request, metadata, headers, seconds)
        said = await self._within(seconds, transport, asked)
        request.context.notes.extend(decode_notes(said.parameters.get(NOTES_PARAMETER), self.noted_under))
        return self._response(request, said)

    def _headers_for(self, request: InferenceRequest) -> dict[str, str]:
        known = request.context.headers
        names = known if self.headers is None else self.headers
        headers = {
            name: known[name] for name in names if name in known and may_be_sent(name) and _VALUE.fullmatch(known[name])
        }
        headers.setdefault("x-request-id", request.context.prediction_id)
        headers[CONTEXT_HEADER] = encode_caller(request.context, request.id)
        return headers

    async def _within(self, seconds: float, transport: Transport, asked: Awaitable[T]) -> T:
        """Awaits the result for at most `seconds`. A timeout, an unreachable server and a stopped predictor raise a
        PredictionError."""
        try:
            async with asyncio.timeout(seconds):
                return await asked
        except TimeoutError:
            raise DeadlineExceeded from None
        except Unreached as error:
            raise Unavailable(f"the remote model {self.name!r} cannot be reached", retry_after=1) from error
        except RuntimeError as error:
            if self._transport is transport:
                raise
            raise Unavailable(f"the remote model {self.name!r} is being stopped", retry_after=1) from error

    def _response(self, request: InferenceRequest, said: DecodedResponse) -> InferenceResponse:
        accepted = said.parameters.get("status") == "accepted"
        missing = [name for name in request.outputs if name not in said.outputs]
        if missing and not accepted:
            raise InternalError(f"the remote model {self.name!r} did not give the output {missing[0]!r}")
        identity = said.parameters.get("identity")
        identity = identity if isinstance(identity, str) else None
        if self._identity is not None and identity not in (None, self._identity):
            self._identity = None  # the server has another model now: do not cache its answers under the old identity
            self._ask_again()
        return InferenceResponse(
            said.outputs,
            said.model_name,
            said.model_version,
            identity,
            {name: value for name, value in said.parameters.items() if name not in _READ_PARAMETERS},
            "accepted" if accepted else "done",
            said.parameters.get("degraded") is True,
        )
