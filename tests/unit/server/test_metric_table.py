"""The table of metrics in docs/operations.md is what a server exports: names, kinds and labels."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx

from contracts.pieces import ENTRIES, around
from mlpatterns import HotSwap, InferenceRequest, InferenceResponse, Limit, PredictionCache, Predictor, Runtime, serve
from mlpatterns.analysis.drift import Drift, FieldDrift
from mlpatterns.base import Wrapper
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.programs.monitor_metrics import MonitorMetrics
from mlpatterns.settings import Settings
from mlpatterns.stores.monitor import Window
from mlpatterns.testing import CountingModel, client, until
from releases import Releases

DOCS = Path(__file__).parents[3] / "docs" / "operations.md"
ROW = re.compile(r"\| `(mlpatterns_\w+)` \| (\w+)(?:, (\w+))? \| ([^|]*)\|")

Table = dict[str, tuple[str, str, frozenset[str]]]


class Busy(Wrapper):
    """Its background work fails, and once there is too much of it."""

    async def start(self, runtime: Runtime) -> None:
        async def fail() -> None:
            raise ValueError("the work fails")

        runtime.begin("fail", fail, most=1)
        runtime.begin("fail", fail, most=1)
        runtime.keep("fail again", fail)

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return await self.inner.predict(request)


class Watched(Wrapper):
    """A monitor has judged a window of it."""

    async def start(self, runtime: Runtime) -> None:
        field = FieldDrift("x", "number", rows=1, missing=0.0, psi=0.1, ks=0.1, wasserstein=None, tests=())
        window = Window("m", "1", 0.0, 1.0, records=1, rows=1, judged=1, labelled=1, drift=Drift(1, (field,)))
        MonitorMetrics(runtime).show(window)

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return await self.inner.predict(request)


def documented() -> Table:
    rows = ROW.findall(DOCS.read_text())
    return {
        name: (kind, workers or "sum", frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, workers, labels in rows
    }


def exported(registry: ProcessMetrics) -> Table:
    return {
        sample.family.name: (
            sample.family.kind,
            sample.family.workers,
            frozenset(label for label, _ in sample.labels),
        )
        for sample in registry.samples()
        if sample.family.name.startswith("mlpatterns_")
    }


async def ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/health/ready")).status_code == 200


def test_what_a_server_exports_is_what_the_table_says(tmp_path: Path) -> None:
    """Every piece of the table of pieces, and what has metrics beside them."""
    releases = Releases(tmp_path)
    releases.publish(10.0)

    def build() -> dict[str, Predictor]:
        pieces = {name.lower(): around(name, CountingModel()) for name in ENTRIES}
        cached = PredictionCache(Busy(Limit(CountingModel(), max_concurrency=1)), store=f"sqlite:///{tmp_path}/c")
        return {**pieces, "swap": HotSwap("times"), "cached": cached, "watched": Watched(CountingModel())}

    app = serve(build, settings=Settings(home=tmp_path, alert_url="http://127.0.0.1:9"))

    async def main() -> Table:
        async with client(app) as http:
            await until(lambda: ready(http))  # a queue until its worker has told what the model takes
            for name in build():
                answer = await http.post(f"/models/{name}/predict", json={"data": [[1.0]]})
                assert answer.status_code in (200, 202), answer.text
            return exported(app.metrics)

    found = asyncio.run(main())
    assert found == documented()


def test_two_pieces_of_one_name_have_two_series() -> None:
    inner = Limit(CountingModel("model"), max_concurrency=1)
    app = serve(lambda: Limit(inner, max_concurrency=1, name="model"), settings=Settings(control="memory://"))

    async def main() -> set[str]:
        async with client(app) as http:
            await http.post("/predict", json={"data": [[1.0]]})
            labels = [dict(s.labels) for s in app.metrics.samples() if s.family.name == "mlpatterns_limit_in_flight"]
            return {each["piece"] for each in labels}

    assert asyncio.run(main()) == {"server:model", "model", "model/inner"}
