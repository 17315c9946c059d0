"""`serve(build)`: one ASGI app that serves one or several predictors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware

from mlpatterns.errors import MlpatternsError
from mlpatterns.headers import checked_headers
from mlpatterns.metrics import process_metrics
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.predictor import Predictor
from mlpatterns.runtime import AppRuntime, Roots, leaves_first, running, start_order
from mlpatterns.server.answers import Answers
from mlpatterns.server.auth import Authenticate, Gate, api_keys
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.built import Build, by_name, check_metadata, checked_build
from mlpatterns.server.cors import cross_origin
from mlpatterns.server.dispatch import NOT_READY, Dispatcher
from mlpatterns.server.exchange import Receive, Scope, Send
from mlpatterns.server.faces import faces, watching
from mlpatterns.server.health import HealthFace
from mlpatterns.server.hosting import Hosted, loaded
from mlpatterns.server.oip.management import Management
from mlpatterns.server.repository import Repository
from mlpatterns.service import find_service
from mlpatterns.settings import Settings, load_settings
from mlpatterns.user_errors import NotOffered

if TYPE_CHECKING:
    from mlpatterns.server.grpc.face import GrpcFace

__all__ = ["App", "Build", "serve"]

log = logging.getLogger("mlpatterns")


def serve(
    build: Build,
    *,
    answers: Answers = Answers(),  # noqa: B008 - frozen
    auth: Authenticate | None = None,
    middleware: Sequence[Middleware] = (),
    settings: Settings | None = None,
) -> App:
    """Makes a standard ASGI app. `build` runs when the app starts, not now, so that an import loads no model.

    Args:
        build: returns one predictor, a list of predictors, or a mapping from names to predictors. Each is served under
            its name.
        answers: the answers of the simple API that differ from the usual ones, e.g. `{"prediction": …}`. A Service that
            runs alone gives the usual answers.
        auth: returns the principal for the headers of a request, or raises Denied. The default checks the API keys of
            the settings, if there are any.
        middleware: Starlette middleware around the whole app, outermost first.
        settings: by default they are read from file and environment when the app starts.

    Raises:
        CompositionError: `build` is not a function that can be called without arguments. It is also raised when the app
            starts and `build` does not return predictors.
    """
    return App(build, answers, auth, middleware, settings)


class App:
    """The ASGI app that `serve` returns. Servers call it; tools that need only the predictors use `build`.

    Args:
        build, answers, auth, middleware, settings: as in `serve`.

    Attributes:
        programs_only: whether the app only runs the programs of the predictors that build() makes. It then starts only
            the pieces that have programs, and serves only `/health` and `/metrics`.
        has_programs: whether the predictors that build() made have programs.
    """

    programs_only = has_programs = False

    def __init__(
        self,
        build: Build,
        answers: Answers,
        auth: Authenticate | None,
        middleware: Sequence[Middleware],
        settings: Settings | None,
    ) -> None:
        self.build, self.auth, self._settings = checked_build(build), auth, settings
        self.answers = self._all_answers = answers
        self.hosted: dict[str, Hosted] = {}
        self.system = ""  # the name of a pattern, which is the first part of the paths of all its pieces
        self.health: HealthFace
        self.gate = Gate()
        self.dispatcher = Dispatcher()
        self._runtime: AppRuntime | None = None
        self._stack: Any = self.dispatcher
        for cls, args, kwargs in reversed(middleware):
            self._stack = cls(self._stack, *args, **kwargs)
        self._entry = self._stack  # `running` wraps it for CORS if the settings name origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._entry(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1003, "reason": "there are no websockets here"})

    @property
    def models(self) -> dict[str, Predictor]:
        """The loaded predictors that build() made, by the name under which each is served."""
        return loaded(self.hosted)

    @property
    def draining(self) -> bool:
        """Whether the app stops soon. While it drains, readiness gives 503, and every answer closes its connection."""
        return self.dispatcher.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self.dispatcher.draining = draining
        if draining and self._runtime is not None:  # end programs now, so that another process takes them over early
            asyncio.get_running_loop().call_soon(self._runtime.end_programs)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[App]:
        """Builds and starts the predictors, opens the routes and runs the programs. At the end it stops them all.

        Raises:
            NotOffered: `programs_only` is set, but no predictor has a program.
        """
        settings = self._settings or load_settings().settings
        self._entry, self.dispatcher.closed = cross_origin(self._stack, settings.cors_origins), NOT_READY
        self.metrics = metrics = process_metrics()
        self.hosted = self._hosted(settings)
        authenticate = self.auth or (api_keys(settings.api_keys) if settings.api_keys else None)
        self.gate = Gate(authenticate, settings.admin_token)
        self.has_programs = any(piece.programs for piece in leaves_first(*self.models.values()))
        if self.programs_only and not self.has_programs:
            raise NotOffered("this system has no programs; `mlpatterns run` serves it")
        served = [] if self.programs_only else self._roots()
        async with running(named=served, settings=settings, metrics=metrics) as runtime:
            check_metadata(*(root for _, root in served))
            del served  # otherwise this frame would keep unloaded models alive
            self._runtime = runtime
            limits = RequestLimits(max_body_bytes=settings.max_body_bytes, max_elements=settings.max_elements)
            buffers = Buffers(limits, settings.max_held_bytes, runtime.offload_codec)

            self.health = HealthFace(self.dispatcher, {} if self.programs_only else self.hosted, runtime, metrics)

            def open_routes() -> None:
                routes = watching(self.health, metrics) if self.programs_only else faces(
                    self.hosted, runtime, buffers, self.health, self.management,
                    answers=self.answers, several=self.several, gate=self.gate,
                )  # fmt: skip
                self.dispatcher.lead(routes, headers_read(self.hosted.values()))

            self.repository = Repository(self.hosted, runtime, lambda: self._built(settings), open_routes)
            self.management = Management(self.repository, metrics, buffers)
            self.dispatcher.open(runtime, buffers, self.gate)
            open_routes()
            self._open = runtime, buffers
            try:
                if self.programs_only or settings.programs_inside:
                    await runtime.run_programs(self._roots())
                    if not self.programs_only:
                        await runtime.wait_for_descriptions(self._roots())
                yield self
            finally:
                self._runtime = None
                await self.repository.close()
                self.dispatcher.close()

    def _hosted(self, settings: Settings) -> dict[str, Hosted]:
        system = settings.system or self.system
        return {
            name: Hosted(name, f"{system}/{name}".lstrip("/"), model, settings, self.metrics)
            for name, model in self._built(settings).items()
        }

    @asynccontextmanager
    async def lifespan(self, outer: object) -> AsyncIterator[None]:
        """Runs this app in the lifespan of the app that mounts it: `FastAPI(lifespan=models.lifespan)`."""
        async with self.running():
            yield

    def _roots(self) -> Roots:
        return [root for hosted in self.hosted.values() for root in hosted.roots()]

    def grpc_face(self) -> GrpcFace:
        """Makes the handlers of the gRPC API, with the same predictors and dispatcher. The app must be running.

        Raises:
            MissingExtra: grpc is not installed.
        """
        from mlpatterns.server.grpc.face import GrpcFace
        from mlpatterns.server.grpc.inference import InferenceService

        runtime, buffers = self._open
        service = InferenceService(self.hosted, runtime, buffers, self.health, self.management)
        return GrpcFace(service, self.health, self.dispatcher, buffers, runtime.metrics)

    def pieces(self, settings: Settings) -> list[tuple[str, Predictor]]:
        """All pieces that build() makes, each with the path at which it will start. It starts none of them."""
        system = settings.system or self.system
        roots = [(f"{system}/{name}".lstrip("/"), model) for name, model in self._built(settings).items()]
        return start_order(roots, apart=True)

    def _built(self, settings: Settings) -> dict[str, Predictor]:
        """The predictors that build() makes, by the name under which each is served."""
        built = self.build()
        # The app's `answers` describe the complete system, so a Service that runs alone does not use them.
        self.answers = self._all_answers if settings.service is None else Answers()
        if settings.service is not None:
            built = find_service(built, settings.service)
        self.several = isinstance(built, Mapping | list)
        return by_name(built)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.running())
            except Exception as error:
                if not isinstance(error, MlpatternsError):
                    log.exception("the app did not start")
                await send({"type": "lifespan.startup.failed", "message": str(error) or type(error).__name__})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def headers_read(roots: Iterable[Predictor]) -> frozenset[str]:
    """The names of the request headers that `roots` and all pieces below them declare in `reads_headers`."""
    return frozenset(name for piece in leaves_first(*roots) for name in checked_headers(piece.reads_headers, "read"))
