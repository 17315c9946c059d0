"""What Triton's clients ask beside inference: a model's configuration and statistics, and the model repository."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import InvalidInput
from mlpatterns.metrics import MetricRegistry
from mlpatterns.oip.configuration import configuration
from mlpatterns.oip.wire import parse
from mlpatterns.server.exchange import Answer, Buffers, Call, encode
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.oip_model import find_model
from mlpatterns.server.repository import Repository
from mlpatterns.server.routes import Routes
from mlpatterns.server.statistics import Totals, model_statistics

__all__ = ["add_management"]

FROM_OUTSIDE = ("config", "file:")  # parameters of a load that would bring in a model


class IndexRequest(Struct):
    ready: bool | None = None


class ChangeRequest(Struct):
    parameters: dict[str, Any] | None = None


_index = msgspec.json.Decoder(IndexRequest)
_change = msgspec.json.Decoder(ChangeRequest)


def add_management(routes: Routes, repository: Repository, registry: MetricRegistry, buffers: Buffers) -> None:
    """Adds configuration, statistics and the repository; what changes it needs the admin token."""
    described = ModelRoutes(repository.hosted, registry, buffers)
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes.add("GET", f"{base}/config", described.config)
        routes.add("GET", f"{base}/stats", described.stats)
    if "stats" not in repository.hosted:  # a model of that name has the path
        routes.add("GET", "/v2/models/stats", described.all_stats)
    managed = RepositoryRoutes(repository, buffers)
    routes.add("POST", "/v2/repository/index", managed.index)
    for change in (managed.load, managed.unload):
        path = f"/v2/repository/models/{{model}}/{change.__name__}"
        routes.add("POST", path, change, access="token")


class ModelRoutes:
    """`/config` and `/stats`."""

    def __init__(self, hosted: Mapping[str, Hosted], registry: MetricRegistry, buffers: Buffers) -> None:
        self._hosted, self._registry, self._limits = hosted, registry, buffers.limits

    async def config(self, call: Call) -> Answer:
        hosted = self._found(call)
        return Answer(encode(configuration(replace(hosted.described(), name=hosted.name), self._limits)))

    async def stats(self, call: Call) -> Answer:
        return self._stats([self._found(call)])

    async def all_stats(self, call: Call) -> Answer:
        return self._stats(hosted for hosted in self._hosted.values() if hosted.ready)

    def _stats(self, asked: Iterable[Hosted]) -> Answer:
        totals = Totals(self._registry.samples())
        return Answer(encode({"model_stats": [
            model_statistics(hosted, totals) for hosted in asked
        ]}))  # fmt: skip

    def _found(self, call: Call) -> Hosted:
        return find_model(self._hosted, call.context.path["model"], call.context.path.get("version"))


class RepositoryRoutes:
    """`/v2/repository`."""

    def __init__(self, repository: Repository, buffers: Buffers) -> None:
        self._repository, self._buffers = repository, buffers

    async def index(self, call: Call) -> Answer:
        body = await self._buffers.read(call)
        asked = parse(_index, body, "the body", self._buffers.limits.max_nesting) if body else IndexRequest()
        entries = self._repository.index()
        return Answer(encode([entry for entry in entries if not asked.ready or entry.state == "READY"]))

    async def load(self, call: Call) -> Answer:
        for name in await self._parameters(call):
            if name.startswith(FROM_OUTSIDE):
                raise InvalidInput("models are loaded as build() makes them; send neither a config nor files")
        await self._repository.load(call.context.path["model"])
        return Answer(b"{}")

    async def unload(self, call: Call) -> Answer:
        await self._parameters(call)
        await self._repository.unload(call.context.path["model"])
        return Answer(b"{}")

    async def _parameters(self, call: Call) -> Mapping[str, Any]:
        body = await self._buffers.read(call)
        if not body:
            return {}
        return parse(_change, body, "the body", self._buffers.limits.max_nesting).parameters or {}
