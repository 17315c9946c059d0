"""The table of routes. It looks up exact paths in a dictionary, and matches all others with Starlette's patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

from starlette.routing import compile_path

from mlpatterns.errors import NotFound
from mlpatterns.interfaces import Metrics, MetricSeries
from mlpatterns.server.auth import Access
from mlpatterns.server.exchange import Answer, Call, Handler

__all__ = ["Routes", "ServerRoute", "WrongMethod"]


NOTHING = "there is nothing at this path"
Answering = Callable[[Any], Coroutine[Any, Any, Any]]  # a handler of HTTP or gRPC calls


class WrongMethod(Exception):
    """The path exists, but not with this method. `allowed` lists its methods."""

    def __init__(self, allowed: str) -> None:
        super().__init__(f"this path answers {allowed}")
        self.allowed = allowed


class ServerRoute:
    """One handler for one method and path. It keeps its metric series, so that each is looked up only once.

    Args:
        access: the credentials that a caller needs. An open route answers even when the server is full.
    """

    __slots__ = ("_counters", "_metrics", "access", "handler", "path", "seconds")

    def __init__(self, path: str, handler: Answering, metrics: Metrics, *, access: Access = "user") -> None:
        self.path, self.handler, self.access = path, handler, access
        self._metrics = metrics
        self._counters: dict[int | str, MetricSeries] = {}
        self.seconds = metrics.histogram("mlpatterns_request_seconds", "Time to answer a request.", route=path)

    def count(self, status: int | str) -> None:
        counter = self._counters.get(status)
        if counter is None:
            counter = self._counters[status] = self._metrics.counter(
                "mlpatterns_requests_total", "Requests answered.", route=self.path, status=str(status)
            )
        counter.inc()


class Routes:
    """All routes of an app. `{name}` in a path matches one segment."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.exact: dict[str, dict[str, ServerRoute]] = {}
        self.patterns: dict[str, dict[str, ServerRoute]] = {}
        self._compiled: dict[str, re.Pattern[str]] = {}
        self.elsewhere: dict[str, str] = {}  # unknown path -> the sentence that names the right path
        self.unknown = ServerRoute("(unknown)", _unknown, metrics)

    def add(self, method: str, path: str, handler: Handler, *, access: Access = "user") -> None:
        route = ServerRoute(path, handler, self._metrics, access=access)
        if "{" in path:
            self._compiled[path] = compile_path(path)[0]
        (self.patterns if "{" in path else self.exact).setdefault(path, {})[method] = route

    def all(self) -> Iterator[ServerRoute]:
        """All routes, also those with patterns."""
        for methods in (*self.exact.values(), *self.patterns.values()):
            yield from methods.values()

    def find(self, method: str, path: str) -> tuple[ServerRoute, Mapping[str, str]]:
        """The route, and the values that its `{names}` matched. GET routes also serve HEAD.

        Raises:
            NotFound: there is no such path.
            WrongMethod: the path has only other methods.
        """
        methods = self.exact.get(path)
        names: Mapping[str, str] = {}
        if methods is None:
            methods, names = self._match(path)
        if method == "HEAD" and "HEAD" not in methods:
            method = "GET"
        if method not in methods:
            raise WrongMethod(", ".join(sorted(methods)))
        return methods[method], names

    def _match(self, path: str) -> tuple[dict[str, ServerRoute], dict[str, str]]:
        for pattern, regex in self._compiled.items():
            found = regex.match(path)
            if found:
                return self.patterns[pattern], found.groupdict()
        raise NotFound(self.elsewhere.get(path, NOTHING))


async def _unknown(call: Call) -> Answer:
    raise NotFound(NOTHING)
