"""RemoteModel: a model on another server, asked over the Open Inference Protocol with raw tensors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from mlpatterns.errors import DeadlineExceeded, InternalError, NotStarted, PredictionError, Unavailable
from mlpatterns.models.remote_http import Answered, HttpSession, allowed_headers, model_url, refusal
from mlpatterns.oip.client_codec import DecodedResponse, decode_response, encode_request
from mlpatterns.oip.codec import HEADER, parse_json_length
from mlpatterns.oip.description import decode_metadata
from mlpatterns.predictor import BasePredictor, InferenceRequest, InferenceResponse, ModelMetadata, Runtime

__all__ = ["FORWARDED", "RemoteModel"]

FORWARDED = ("x-request-id", "traceparent", "tracestate")
"""The caller's headers that are passed on unless told otherwise."""

RETRY_FIRST, RETRY_MOST = 0.1, 5.0  # seconds between attempts to reach a server that is down
DAY = 86_400.0  # seconds: no deadline is sent that is further away
_OF_ANSWER = ("identity", "status", "degraded")


class RemoteModel(BasePredictor):
    """A model on another server: mlpatterns, or any that speaks the Open Inference Protocol over HTTP.

    A server that is down at start does not fail the start: it is asked again with back-off, and until it answers
    `metadata` raises NotStarted and `predict` Unavailable.

    Args:
        url: `http://HOST[:PORT][/PREFIX]`, or a whole `…/v2/models/NAME`.
        model: its name there; by default the one in `url`, else `name`.
        name: of this predictor; by default the model's.
        connect_timeout: seconds to reach the server.
        timeout: seconds for one answer where the request has no deadline of its own.
        headers: of the caller that are passed on; those that carry credentials are refused.
        max_bytes: of one answer.

    Raises:
        CompositionError: `url` or `headers` cannot be used.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        name: str | None = None,
        connect_timeout: float = 2.0,
        timeout: float = 60.0,
        headers: Sequence[str] = FORWARDED,
        max_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self.url, self.model = model_url(url, model, name)
        super().__init__(name or self.model)
        self.connect_timeout, self.timeout, self.max_bytes = connect_timeout, timeout, max_bytes
        self.headers = allowed_headers(headers)
        self._session: HttpSession | None = None
        self._metadata: ModelMetadata | None = None
        self._identity: str | None = None
        self._asking = False

    @property
    def metadata(self) -> ModelMetadata:
        if self._metadata is None:
            raise NotStarted(self.name)
        return self._metadata

    def identity(self) -> str | None:
        """What the server says; None if it does not, or if its answers have begun to come from another model."""
        return self._identity

    # ---- lifecycle -----------------------------------------------------------------------------------------------

    async def start(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._session = HttpSession(self.connect_timeout, self.max_bytes)
        try:
            await self._describe(self._session)
        except PredictionError:
            self._ask_again()

    async def stop(self) -> None:
        session, self._session = self._session, None
        self._metadata = self._identity = None
        self._asking = False
        if session is not None:
            await session.close()

    def _ask_again(self) -> None:
        """Asks for the metadata beside everything else, until the server answers."""
        session = self._session
        if self._asking or session is None:
            return
        self._asking = True

        async def ask() -> None:
            delay = RETRY_FIRST
            while self._session is session:
                try:
                    await self._describe(session)
                except PredictionError:
                    await self._runtime.clock.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
                    delay = min(2 * delay, RETRY_MOST)
                else:
                    self._asking = False
                    return

        self._runtime.spawn(f"metadata of {self.name}", ask)

    async def _describe(self, session: HttpSession) -> None:
        answer = await self._call(session, "GET", self.url, None, {}, self.connect_timeout)
        described = decode_metadata(answer.body)
        if self._session is session:
            self._metadata, self._identity = described

    # ---- predict -------------------------------------------------------------------------------------------------

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        """Asks the server; errors come back with the code that its status means.

        Raises:
            Unavailable: it cannot be reached, or has not said yet what its model takes.
            DeadlineExceeded: no answer in time.
            InternalError: the answer is malformed.
        """
        session, metadata = self._session, self._metadata
        if session is None or metadata is None:
            raise Unavailable(f"the remote model {self.name!r} has not answered yet", retry_after=1)
        seconds = self.timeout
        if request.deadline is not None:
            seconds = min(request.deadline - self._runtime.clock.monotonic(), DAY)
        body, json_length = encode_request(
            request.inputs, metadata.inputs, request.id, request.parameters, request.outputs
        )
        headers = self._headers_for(request, seconds)
        headers[HEADER] = str(json_length)
        answer = await self._call(session, "POST", f"{self.url}/infer", body, headers, seconds)
        length = answer.headers.get(HEADER.lower())
        try:
            said = decode_response(answer.body, parse_json_length(length.encode() if length else None))
        except PredictionError as error:
            raise InternalError(error.message) from None
        return self._response(request, said)

    def _headers_for(self, request: InferenceRequest, seconds: float) -> dict[str, str]:
        known = request.context.headers
        headers = {name: known[name] for name in self.headers if name in known and known[name].isprintable()}
        headers.setdefault("x-request-id", request.context.prediction_id)
        headers["x-request-timeout-ms"] = str(max(1, int(seconds * 1000)))
        headers["content-type"] = "application/octet-stream"
        return headers

    async def _call(
        self, session: HttpSession, method: str, url: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> Answered:
        """One exchange that ended well; every other end is a PredictionError."""
        if seconds <= 0:
            raise DeadlineExceeded
        try:
            async with asyncio.timeout(seconds):
                answer = await session.call(method, url, body, headers)
        except session.errors as error:
            if type(error) is TimeoutError:
                raise DeadlineExceeded from None
            raise Unavailable(f"the remote model {self.name!r} cannot be reached", retry_after=1) from error
        except RuntimeError as error:
            if self._session is session:
                raise
            raise Unavailable(f"the remote model {self.name!r} is being stopped", retry_after=1) from error
        if answer.status != 200:
            raise refusal(self.name, answer)
        return answer

    def _response(self, request: InferenceRequest, said: DecodedResponse) -> InferenceResponse:
        missing = [name for name in request.outputs if name not in said.outputs]
        if missing:
            raise InternalError(f"the remote model {self.name!r} did not give the output {missing[0]!r}")
        identity = said.parameters.get("identity")
        identity = identity if isinstance(identity, str) else None
        if self._identity is not None and identity not in (None, self._identity):
            self._identity = None  # it is another model now: nothing may be kept under the old one's name
            self._ask_again()
        return InferenceResponse(
            said.outputs,
            said.model_name,
            said.model_version,
            identity,
            {name: value for name, value in said.parameters.items() if name not in _OF_ANSWER},
            "accepted" if said.parameters.get("status") == "accepted" else "done",
            said.parameters.get("degraded") is True,
        )
