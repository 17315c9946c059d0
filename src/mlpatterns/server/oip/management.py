"""The requests of Triton's clients other than inference: configuration, statistics, and the model repository."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import InvalidInput
from mlpatterns.metrics import MetricSample, ProcessMetrics
from mlpatterns.oip.configuration import configuration
from mlpatterns.oip.wire import parse
from mlpatterns.runtime.tree import start_order
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.exchange import Answer, Call, encode
from mlpatterns.server.hosting import Hosted
from mlpatterns.server.oip.model import find_model
from mlpatterns.server.repository import IndexEntry, Repository
from mlpatterns.server.routes import Routes
from mlpatterns.server.statistics import INFERENCE, LAST, QUEUED, REQUESTS, ROWS, SECONDS

__all__ = ["Management", "add_management"]

T = TypeVar("T")
FROM_OUTSIDE = ("config", "file:")  # prefixes of parameters with which a client would upload its own model


class IndexRequest(Struct):
    ready: bool | None = None


class ChangeRequest(Struct):
    parameters: dict[str, Any] | None = None


_index = msgspec.json.Decoder(IndexRequest)
_change = msgspec.json.Decoder(ChangeRequest)


class Management:
    """Describes, loads and lists models, for HTTP and gRPC. The results have the fields of Triton's messages.

    Attributes:
        repository: the repository of the models.
        metrics: the metrics of all models.
    """

    def __init__(self, repository: Repository, metrics: ProcessMetrics, buffers: Buffers) -> None:
        self.repository, self.metrics, self._limits = repository, metrics, buffers.limits

    def config(self, name: str, version: str | None) -> dict[str, Any]:
        """The configuration of one model.

        Raises:
            NotFound: there is no such model or version.
            Unavailable: the model is not loaded, or not ready yet.
        """
        hosted = find_model(self.repository.hosted, name, version)
        return configuration(replace(hosted.described(), name=hosted.name), self._limits)

    def statistics(self, name: str | None = None, version: str | None = None) -> dict[str, Any]:
        """The statistics of one model, or of all models that are ready if `name` is None.

        Raises:
            NotFound: there is no such model or version.
            Unavailable: the named model is not loaded, or not ready yet.
        """
        models = self.repository.hosted
        asked = [one for one in models.values() if one.known] if name is None else [find_model(models, name, version)]
        totals = _Totals(self.metrics.samples())
        return {"model_stats": [_statistics(hosted, totals) for hosted in asked]}

    def index(self, *, ready: bool) -> list[IndexEntry]:
        """The entries of all models, or only of those that are ready."""
        return [entry for entry in self.repository.index() if not ready or entry.state == "READY"]

    async def load(self, name: str, parameters: Iterable[str]) -> None:
        """Loads a model again.

        Args:
            parameters: the names of the parameters of the request.

        Raises:
            InvalidInput: the parameters contain a configuration or files of another model.
            NotFound, Conflict: as in `Repository.load`.
        """
        if any(parameter.startswith(FROM_OUTSIDE) for parameter in parameters):
            raise InvalidInput("models are loaded as build() makes them; send neither a config nor files")
        await self.repository.load(name)


def add_management(routes: Routes, management: Management, buffers: Buffers, names: Collection[str]) -> None:
    """Adds the HTTP routes for configuration, statistics and the repository. Changes need the admin token.

    Args:
        names: the names of the served models.
    """
    managed = ManagementRoutes(management, buffers)
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes.add("GET", f"{base}/config", managed.config)
        routes.add("GET", f"{base}/stats", managed.stats)
    if "stats" not in names:  # otherwise this path is the metadata of the model with the name `stats`
        routes.add("GET", "/v2/models/stats", managed.stats)
    routes.add("POST", "/v2/repository/index", managed.index)
    for change in (managed.load, managed.unload):
        path = f"/v2/repository/models/{{model}}/{change.__name__}"
        routes.add("POST", path, change, access="token")


class ManagementRoutes:
    """`/config`, `/stats` and `/v2/repository`."""

    def __init__(self, management: Management, buffers: Buffers) -> None:
        self._management, self._buffers = management, buffers

    async def config(self, call: Call) -> Answer:
        path = call.context.path
        return Answer(encode(self._management.config(path["model"], path.get("version"))))

    async def stats(self, call: Call) -> Answer:
        path = call.context.path
        return Answer(encode(self._management.statistics(path.get("model"), path.get("version"))))

    async def index(self, call: Call) -> Answer:
        asked = await self._read(call, _index)
        return Answer(encode(self._management.index(ready=bool(asked.ready))))

    async def load(self, call: Call) -> Answer:
        asked = await self._read(call, _change)
        await self._management.load(call.context.path["model"], asked.parameters or {})
        return Answer(b"{}")

    async def unload(self, call: Call) -> Answer:
        await self._read(call, _change)
        await self._management.repository.unload(call.context.path["model"])
        return Answer(b"{}")

    async def _read(self, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        """Reads and decodes the body of a request. An empty body counts as `{}`."""
        body = await self._buffers.read(call) or b"{}"
        return parse(decoder, body, "the body", self._buffers.limits.max_nesting)


# ---- statistics --------------------------------------------------------------------------------------------------


class _Totals:
    """The metrics of all workers at one moment."""

    def __init__(self, samples: Iterable[MetricSample]) -> None:
        self._samples = list(samples)

    def value(self, name: str, **labels: str) -> float:
        """The sum of all series of `name` with these labels. For a histogram it is the number of observations."""
        wanted = set(labels.items())
        found = [sample for sample in self._samples if sample.family.name == name and wanted <= set(sample.labels)]
        return sum(sum(one.values[:-1]) if one.family.kind == "histogram" else one.values[0] for one in found)


def _statistics(hosted: Hosted, totals: _Totals) -> dict[str, Any]:
    """One entry of `model_stats` with Triton's fields. `ns` is nanoseconds; `last_inference` is Unix milliseconds."""
    piece = hosted.path
    answered, failed = (totals.value(REQUESTS, piece=piece, end=end) for end in ("answered", "failed"))
    parts = {part: totals.value(SECONDS, piece=piece, part=part) for part in ("decode", "predict", "encode", "failed")}
    queued = min(totals.value(QUEUED, piece=hosted.limit_path), parts["predict"])
    success = parts["decode"] + parts["predict"] + parts["encode"]
    return {
        "name": hosted.name,
        "version": hosted.described().version,
        "last_inference": int(1000 * totals.value(LAST, piece=piece)),
        "inference_count": int(totals.value(ROWS, piece=piece)),
        "execution_count": _executions(hosted, totals, answered),
        "inference_stats": {
            "success": _duration(answered, success),
            "fail": _duration(failed, parts["failed"]),
            "queue": _duration(answered, queued),
            "compute_input": _duration(answered, parts["decode"]),
            "compute_infer": _duration(answered, parts["predict"] - queued),
            "compute_output": _duration(answered, parts["encode"]),
        },
        "batch_stats": [],
    }


def _executions(hosted: Hosted, totals: _Totals, answered: float) -> int:
    """The number of calls of the model itself, if there is exactly one leaf piece and it measures them; else the number
    of answered requests. A batcher makes fewer calls than it gets requests."""
    pieces = [] if hosted.model is None else start_order([(hosted.path, hosted.model)])
    leaves = [path for path, piece in pieces if not piece.children]
    calls = totals.value(INFERENCE, piece=leaves[0]) if len(leaves) == 1 else 0.0
    return int(calls or answered)


def _duration(count: float, seconds: float) -> dict[str, int]:
    return {"count": int(count), "ns": round(seconds * 1e9)}
