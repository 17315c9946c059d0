"""Configuration, statistics and the repository over HTTP."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import httpx
import pytest

from mlpatterns.errors import NotFound
from mlpatterns.predictor import Predictor
from mlpatterns.server.app import serve
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FlakyModel, SlowModel, client
from unit.server.doubles import iris

ROWS = {"data": [[5.1, 3.5, 1.4, 0.2], [6.0, 3.0, 4.0, 1.2]]}
TOKEN = Settings(admin_token="t0ken")
ADMIN = {"x-admin-token": "t0ken"}
LOAD, UNLOAD = ("/v2/repository/models/iris/load", "/v2/repository/models/iris/unload")


def ask(served: Any, *requests: tuple[str, str, dict[str, Any]], **options: Any) -> list[httpx.Response]:
    async def main() -> list[httpx.Response]:
        async with client(served, **options) as http:
            return [await http.request(method, path, **fields) for method, path, fields in requests]

    return asyncio.run(main())


# ---- configuration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v2/models/flower/config", "/v2/models/flower/versions/3/config"])
def test_the_configuration_names_the_model_as_it_is_served(path: str) -> None:
    said = ask({"flower": iris()}, ("GET", path, {}))[0].json()
    assert (said["name"], said["input"]) == ("flower", [{"name": "input", "data_type": "TYPE_FP32", "dims": [4]}])


@pytest.mark.parametrize("what", ["config", "stats"])
def test_a_model_or_version_that_there_is_not_is_404(what: str) -> None:
    paths = (f"/v2/models/rose/{what}", f"/v2/models/iris/versions/4/{what}")
    assert [answer.status_code for answer in ask(iris(), *(("GET", path, {}) for path in paths))] == [404, 404]


# ---- statistics ---------------------------------------------------------------------------------------------------


def stats(answer: httpx.Response) -> dict[str, Any]:
    (one,) = answer.json()["model_stats"]
    return dict(one)


def test_a_model_that_nobody_asked_has_zeros() -> None:
    said = stats(ask(iris(), ("GET", "/v2/models/iris/stats", {}))[0])
    assert (said["version"], said["inference_count"], said["execution_count"], said["last_inference"]) == ("3", 0, 0, 0)


def test_requests_of_every_face_and_their_rows_are_counted_and_timed() -> None:
    tensor = {"name": "input", "shape": [3, 4], "datatype": "FP32", "data": [0] * 12}
    answers = ask(
        iris(),
        ("POST", "/predict", {"json": ROWS}),
        ("POST", "/predict/label", {"json": ROWS}),
        ("GET", "/predict/test", {}),
        ("POST", "/v2/models/iris/infer", {"json": {"inputs": [tensor]}}),
        ("POST", "/predict", {"json": {"data": "malformed"}}),
        ("GET", "/v2/models/iris/versions/3/stats", {}),
    )
    said = stats(answers[-1])
    assert (said["inference_count"], said["execution_count"]) == (7, 3), "the sample on demand is no request"
    assert said["last_inference"] > 1_700_000_000_000
    times = said["inference_stats"]
    parts = ("compute_input", "compute_infer", "compute_output")
    assert {times[part]["count"] for part in (*parts, "success", "queue")} == {3}
    assert all(times[part]["ns"] > 0 for part in parts)
    assert abs(times["success"]["ns"] - sum(times[part]["ns"] for part in (*parts, "queue"))) <= 4
    assert times["fail"] == {"count": 0, "ns": 0}  # what was malformed never reached the model


def test_failures_are_counted_apart() -> None:
    model = FlakyModel("iris", fails=[1])
    answers = ask(
        model,
        *[("POST", "/predict", {"json": ROWS})] * 2,
        ("GET", "/v2/models/stats", {}),
    )
    said = stats(answers[-1])
    times = said["inference_stats"]
    assert (times["success"]["count"], times["fail"]["count"], said["inference_count"]) == (1, 1, 2)
    assert times["fail"]["ns"] > 0


def test_the_time_in_the_queue_is_not_time_in_the_model() -> None:
    class Gated(CountingModel):
        async def work(self, runtime: Any, request: Any) -> None:
            await gate.wait()

    gate = asyncio.Event()

    async def main() -> dict[str, Any]:
        async with client(Gated("iris"), settings=Settings(max_concurrency=1)) as http:
            asking = [asyncio.ensure_future(http.post("/predict", json=ROWS)) for _ in range(3)]
            while 'mlpatterns_limit_queued{piece="server:iris"} 2.0' not in (await http.get("/metrics")).text:
                await asyncio.sleep(0)
            await asyncio.sleep(0.02)
            gate.set()
            await asyncio.gather(*asking)
            return dict(stats(await http.get("/v2/models/iris/stats"))["inference_stats"])

    times = asyncio.run(main())
    assert times["queue"]["ns"] >= 0.04e9  # two waited for one
    assert times["compute_infer"]["ns"] >= 0.02e9
    assert times["success"]["ns"] >= times["queue"]["ns"] + times["compute_infer"]["ns"]


def test_a_model_called_stats_keeps_its_path() -> None:
    assert ask({"stats": iris()}, ("GET", "/v2/models/stats", {}))[0].json()["name"] == "stats"


# ---- the repository -----------------------------------------------------------------------------------------------


def entry(name: str, version: str = "1", state: str = "READY", reason: str = "") -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}


def test_the_index_lists_all_or_those_that_are_ready() -> None:
    answers = ask(
        lambda: {"iris": CountingModel(), "rose": CountingModel()},
        ("POST", UNLOAD, {"headers": ADMIN}),
        ("POST", "/v2/repository/index", {}),
        ("POST", "/v2/repository/index", {"json": {"ready": True}}),
        ("POST", "/v2/repository/index", {"json": {"ready": "yes"}}),
        settings=TOKEN,
    )
    assert answers[1].json() == [entry("iris", "", "UNAVAILABLE", "unloaded"), entry("rose")]
    assert answers[2].json() == [entry("rose")]
    assert answers[3].status_code == 400


def test_what_is_unloaded_is_stopped_and_refused_and_comes_back_with_a_load() -> None:
    models: list[CountingModel] = []

    def build() -> Predictor:
        models.append(CountingModel("iris", version=str(len(models) + 1)))
        return models[-1]

    paths = ("/predict", "/v2/models/iris/infer")
    answers = ask(
        build,
        ("POST", UNLOAD, {"headers": ADMIN}),
        *(("POST", path, {"json": {}}) for path in paths),
        *(("GET", f"/v2/models/iris{path}", {}) for path in ("", "/ready", "/config", "/stats", "/versions/1/ready")),
        ("GET", "/health/ready", {}),
        ("GET", "/openapi.json", {}),
        ("GET", "/docs", {}),
        ("POST", LOAD, {"headers": ADMIN}),
        ("POST", "/predict", {"json": ROWS}),
        settings=TOKEN,
    )
    assert [answer.status_code for answer in answers] == [200, *[503] * 7, 200, 200, 200, 200, 200]
    assert answers[1].json() == {"error": "the model 'iris' is not loaded"}
    assert answers[-1].headers["x-mlp-version"] == "2"
    assert [(model.starts, model.stops) for model in models] == [(1, 1), (1, 1)]


def test_an_unloaded_model_is_freed() -> None:
    async def main() -> bool:
        made = [CountingModel("iris")]
        watched = weakref.ref(made[0])
        async with client(lambda: made.pop(), settings=TOKEN) as http:
            await http.post("/predict", json=ROWS)
            assert watched() is not None
            await http.post(UNLOAD, headers=ADMIN)
            gc.collect()
            return watched() is None

    assert asyncio.run(main())


@pytest.mark.parametrize("path", ["load", "unload"])
def test_only_who_has_the_token_loads_and_unloads_and_only_what_build_makes(path: str) -> None:
    known, unknown = (f"/v2/repository/models/{name}/{path}" for name in ("iris", "..%2fetc"))
    answers = ask(
        iris,
        ("POST", known, {}),
        ("POST", unknown, {"headers": ADMIN}),
        ("POST", "/v2/repository/models/rose/" + path, {"headers": ADMIN}),
        ("GET", known, {"headers": ADMIN}),
        settings=TOKEN,
    )
    assert [answer.status_code for answer in answers] == [401, 404, 404, 405]
    assert answers[2].json() == {"error": "there is no model 'rose'; this server has iris"}


@pytest.mark.parametrize("parameters", [{"config": "{}"}, {"file:1/model.onnx": "AAAA"}])
def test_a_model_from_outside_is_refused(parameters: dict[str, str]) -> None:
    fields = {"json": {"parameters": parameters}, "headers": ADMIN}
    answer = ask(iris, ("POST", LOAD, fields), settings=TOKEN)[0]
    assert answer.status_code == 400
    assert "send neither a config nor files" in answer.json()["error"]


def test_with_several_workers_the_answer_says_what_to_do_instead() -> None:
    answer = ask(iris, ("POST", UNLOAD, {"headers": ADMIN}), settings=Settings(admin_token="t0ken", workers=4))[0]
    assert answer.status_code == 409
    assert "this server has 4: send SIGHUP" in answer.json()["error"]


def test_a_load_that_fails_leaves_the_one_before_and_says_why() -> None:
    broken = False

    class Model(CountingModel):
        async def start(self, runtime: Any) -> None:
            await super().start(runtime)
            if broken:
                raise NotFound("the alias points at nothing")

    models: list[Model] = []

    def build() -> Predictor:
        models.append(Model("iris"))
        return models[-1]

    async def main() -> list[httpx.Response]:
        nonlocal broken
        async with client(build, settings=TOKEN) as http:
            broken = True
            failed = await http.post(LOAD, headers=ADMIN)
            still = await http.post("/predict", json=ROWS)
            await http.post(UNLOAD, headers=ADMIN)
            again = await http.post(LOAD, headers=ADMIN)
            index = await http.post("/v2/repository/index")
            broken = False
            mended = await http.post(LOAD, headers=ADMIN)
            return [failed, still, again, index, mended, await http.post("/predict", json=ROWS)]

    failed, still, again, index, mended, after = asyncio.run(main())
    assert failed.json() == {
        "error": "the model 'iris' could not be loaded, and the previous one keeps serving: the alias points at nothing"
    }
    assert [failed.status_code, still.status_code, again.status_code] == [409, 200, 409]
    assert index.json() == [entry("iris", "", "UNAVAILABLE", "the alias points at nothing")]
    assert [mended.status_code, after.status_code] == [200, 200]
    assert all(model.starts == model.stops == 1 for model in models)


def test_an_unforeseen_failure_of_a_load_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    class Model(CountingModel):
        async def start(self, runtime: Any) -> None:
            if built > 1:
                raise RuntimeError("secret path")
            await super().start(runtime)

    built = 0

    def build() -> Predictor:
        nonlocal built
        built += 1
        return Model("iris")

    answer = ask(build, ("POST", LOAD, {"headers": ADMIN}), settings=TOKEN)[0]
    assert answer.status_code == 409
    assert "secret" not in answer.text
    assert "secret path" in caplog.text


def test_a_build_that_returns_the_same_object_is_not_stopped_under_its_users() -> None:
    model = CountingModel("iris")
    answers = ask(
        lambda: model,
        ("POST", LOAD, {"headers": ADMIN}),
        ("POST", "/predict", {"json": ROWS}),
        ("POST", UNLOAD, {"headers": ADMIN}),
        ("POST", LOAD, {"headers": ADMIN}),
        ("POST", "/predict", {"json": ROWS}),
        settings=TOKEN,
    )
    assert [answer.status_code for answer in answers] == [409, 200, 200, 200, 200]
    assert "returns the same object each time" in answers[0].json()["error"]


@pytest.mark.parametrize("change", [LOAD, UNLOAD])
def test_what_is_in_flight_is_answered_before_its_model_stops(change: str) -> None:
    models: list[SlowModel] = []

    def build() -> Predictor:
        models.append(SlowModel("iris", seconds=0.1))
        return models[-1]

    async def main() -> tuple[int, int, int]:
        async with client(build, settings=TOKEN) as http:
            early = asyncio.ensure_future(http.post("/predict", json=ROWS))
            while not models[0].running:
                await asyncio.sleep(0.001)
            changing = asyncio.ensure_future(http.post(change, headers=ADMIN))
            while change == UNLOAD and (await http.get("/v2/models/iris/ready")).status_code == 200:
                await asyncio.sleep(0.001)
            late = await http.post("/predict", json=ROWS)
            assert (await changing).status_code == 200
            return (await early).status_code, late.status_code, models[0].stops

    assert asyncio.run(main()) == (200, 200 if change == LOAD else 503, 1)


def test_a_caller_who_gives_up_does_not_stop_a_load_half_way() -> None:
    class Model(CountingModel):
        async def start(self, runtime: Any) -> None:
            await asyncio.sleep(0.1 if models[0] is not self else 0)
            await super().start(runtime)

    models: list[Model] = []

    def build() -> Predictor:
        models.append(Model("iris", version=str(len(models) + 1)))
        return models[-1]

    async def main() -> tuple[int, list[str]]:
        async with client(build, settings=TOKEN) as http:
            late = await http.post(LOAD, headers={**ADMIN, "x-request-timeout-ms": "10"})
            versions: list[str] = []
            while not versions or versions[-1] != "2":
                versions.append((await http.post("/predict", json=ROWS)).headers["x-mlp-version"])
                await asyncio.sleep(0.005)
            return late.status_code, versions

    status, versions = asyncio.run(main())
    assert (status, versions[0]) == (504, "1")


def test_changes_at_once_come_one_after_the_other_and_leave_one_model() -> None:
    models: list[CountingModel] = []

    def build() -> Predictor:
        models.append(CountingModel("iris"))
        return models[-1]

    async def main() -> tuple[set[int], int]:
        async with client(build, settings=TOKEN) as http:
            answers = await asyncio.gather(*(http.post(path, headers=ADMIN) for path in [LOAD, UNLOAD] * 5 + [LOAD]))
            running = sum(model.starts - model.stops for model in models)
            return {answer.status_code for answer in answers}, running

    assert asyncio.run(main()) == ({200}, 1)


def test_an_app_that_ends_during_a_load_stops_everything() -> None:
    class Model(CountingModel):
        async def start(self, runtime: Any) -> None:
            await super().start(runtime)
            if models[0] is not self:
                await asyncio.sleep(60)

    models: list[Model] = []

    def build() -> Predictor:
        models.append(Model("iris"))
        return models[-1]

    async def main() -> None:
        app = serve(build, settings=TOKEN)
        async with client(app) as http:
            await http.post(LOAD, headers={**ADMIN, "x-request-timeout-ms": "10"})
            assert (await http.post("/v2/repository/index")).json() == [entry("iris")]

    asyncio.run(main())
    assert [(model.starts, model.stops) for model in models] == [(1, 1), (1, 1)]
