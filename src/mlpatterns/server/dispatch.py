"""The dispatcher handles every request, from finding its route to sending its answer. The hot path starts here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine
from time import monotonic
from types import MappingProxyType
from typing import Any

from mlpatterns.context import Context
from mlpatterns.errors import InternalError, NotStarted, Overloaded, PredictionError, TooLarge, Unavailable
from mlpatterns.ids import new_id
from mlpatterns.interfaces import MetricSeries
from mlpatterns.oip.context import CONTEXT_HEADER, read_caller
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.auth import Gate
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.exchange import (
    JSON,
    Answer,
    Call,
    ClientGone,
    Exchange,
    Receive,
    Scope,
    Send,
    encode,
    time_allowed,
)
from mlpatterns.server.guard import WorkAbandoned, guarded
from mlpatterns.server.logs import current_call, log_access
from mlpatterns.server.mounting import own_path
from mlpatterns.server.routes import Routes, ServerRoute, WrongMethod
from mlpatterns.user_code import is_cancellation, text_for_client, user_exc_info
from mlpatterns.user_errors import UserError

__all__ = ["NOT_READY", "Dispatcher"]

log = logging.getLogger("mlpatterns")
NO_HEADERS = MappingProxyType[str, str]({})
NOT_READY = "the server is not ready yet"
NOT_STARTED = (
    "the app was not started: its server or the app around it must run its lifespan, FastAPI(lifespan=app.lifespan)"
)
TIMEOUT, CALLER = b"x-request-timeout-ms", CONTEXT_HEADER.encode()


class Dispatcher:
    """An ASGI application that calls the handlers of its routes. While it has no routes, it answers 503.

    Attributes:
        draining: whether the server stops soon. Every answer then closes its connection.
        closed: the error text of the 503 answers while there are no routes.
    """

    def __init__(self) -> None:
        self.draining, self.closed = False, NOT_STARTED
        self._routes: Routes | None = None

    def open(self, runtime: AppRuntime, buffers: Buffers, gate: Gate) -> None:
        settings = runtime.settings
        self._gate, self._guarded, self._buffers = gate, gate.guarded, buffers
        self._timeout, self._most_header_bytes = settings.request_timeout, settings.max_header_bytes
        self._forwarded = self._allowed = frozenset(name.lower().encode("latin-1") for name in settings.context_headers)
        self._most = settings.max_concurrency + settings.max_queue
        self._access_log = settings.access_log
        self._trusts_callers = settings.service is not None  # the callers are the other parts of the same system
        self._count = 0
        self._in_flight: MetricSeries = runtime.metrics.gauge(
            "mlpatterns_requests_in_flight", "Requests being answered."
        )

    def lead(self, routes: Routes, headers_read: Collection[str]) -> None:
        """Sets the routes for new requests. Pieces see `headers_read` in addition to the headers of the settings."""
        self._routes = routes
        self._forwarded = self._allowed.union(name.encode("latin-1") for name in headers_read)

    def close(self) -> None:
        self._routes, self.closed = None, "the server is stopping"

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        return self.handle(Call(scope, receive, send, dict(scope["headers"]), Context(new_id(), NO_HEADERS)))

    async def handle(self, call: Exchange, route: ServerRoute | None = None) -> None:
        """Answers `call` with the handler of its route, and counts, times and logs it.

        Args:
            route: the route, if the caller of this method knows it. Otherwise the method and path of the HTTP call
                select it.
        """
        began = monotonic()
        routes = self._routes
        if routes is None:
            unready = Unavailable(self.closed, retry_after=1)
            await call.answer(call.refusal(unready), closing=True)
            return
        headers = call.headers
        current_call.set(call)
        to, answer = route or routes.unknown, None
        self._count += 1
        self._in_flight.inc()
        try:
            try:
                if route is None:
                    to = self._find(routes, call)
                self._admit(to, call)
                call.deadline = began + (time_allowed(headers, self._timeout) if TIMEOUT in headers else self._timeout)
                answer = await guarded(call, to.handler(call))
                self._buffers.hold_answer(call, len(answer.body))
            except BaseException as error:  # user code may raise anything
                if is_cancellation(error):
                    raise
                answer = await self._failed(error, call)
            if answer is not None:
                await call.answer(answer, closing=self.draining)
        except asyncio.CancelledError:
            call.status = call.GIVEN_UP["client"]
            to.count(call.status)
            raise
        finally:
            self._count -= 1
            self._in_flight.inc(-1.0)
            if call.held:
                self._buffers.release(call)
            call.guard = None  # breaks a reference cycle, so that the call is freed without the garbage collector
        status = answer.status if answer is not None else call.status
        to.count(status)
        to.seconds.observe(monotonic() - began)
        if self._access_log:
            log_access(call, status, monotonic() - began)

    def _find(self, routes: Routes, call: Exchange) -> ServerRoute:
        scope = call.scope
        path = own_path(scope) if scope.get("root_path") else scope["path"]
        methods = routes.exact.get(path)
        if methods is not None:
            route = methods.get(scope["method"])
            if route is not None:
                return route
        route, call.context.path = routes.find(scope["method"], path)
        return route

    def _admit(self, route: ServerRoute, call: Exchange) -> None:
        headers = call.headers
        # The size of all headers, including repeated ones: the mapping `headers` has only the last of those.
        if len(b"".join(map(b"".join, call.scope["headers"]))) > self._most_header_bytes:
            raise TooLarge(f"the headers are larger than the {self._most_header_bytes} bytes that this server accepts")
        access = route.access
        if access == "open":
            return
        if self._count > self._most:
            raise Overloaded("the server is full; try again", retry_after=1)
        self._buffers.check_room()
        if access in self._guarded:
            call.context.principal = self._gate.admit(access, headers)
        known = self._forwarded.intersection(headers)
        if known:
            call.context.headers = {name.decode(): headers[name].decode("latin-1") for name in known}
        context = call.context
        context.caller_id = context.path.get("job_id") or context.headers.get("x-request-id")
        if self._trusts_callers and CALLER in headers:
            read_caller(headers[CALLER], context)

    async def _failed(self, error: BaseException, call: Exchange) -> Any:
        """The answer for an error; None if no answer may be sent any more."""
        match error:
            case PredictionError():
                if isinstance(error, InternalError) and not error.logged:
                    log.error("the answer failed: %s", error)
                return call.refusal(error)
            case WorkAbandoned():
                if call.guard is not None:
                    await call.guard.refused()
                call.status = call.GIVEN_UP[error.reason]
                return None
            case ClientGone():
                call.status = call.GIVEN_UP["client"]
                return None
            case NotStarted():
                return call.refusal(Unavailable("the model is not ready yet", retry_after=1))
            case WrongMethod():
                return Answer(encode({"error": str(error)}), (JSON, (b"allow", error.allowed.encode())), 405)
        if isinstance(error, UserError):  # its text is for the operator; a traceback would hide it
            log.error("the server failed: %s", error)
        else:
            log.error("the server failed", exc_info=user_exc_info(error))
        return call.refusal(
            InternalError(
                text_for_client(error, "the server failed to answer; the fault is not in the request"), logged=True
            )
        )
