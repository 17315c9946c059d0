"""A part answers in a process of its own as it does within the whole: notes, callers, headers and errors travel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.pieces import ByCaller, Noting
from mlpatterns import FanOut, Pipeline, PredictionCache
from mlpatterns.context import Context
from mlpatterns.errors import ErrorCode, PredictionError, error_for
from mlpatterns.models.remote.remote import RemoteModel
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.runtime import running
from mlpatterns.server.app import serve
from mlpatterns.service import Service
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FlakyModel, client, request
from mlpatterns.user_errors import CompositionError
from unit.server.elsewhere import served_elsewhere

SETTINGS = Settings(control="memory://")
URL = "MLPATTERNS_SERVICE_PART_URL"
OIP = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}]}
by_http_and_grpc = pytest.mark.parametrize("scheme", ["http", "grpc"])


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("MLPATTERNS_SERVICE", raising=False)
    monkeypatch.delenv(URL, raising=False)


async def counted(http: Any, model: str) -> float:
    """How many answered requests the statistics of a model have."""
    answer = (await http.get(f"/v2/models/{model}/stats")).json()
    return float(answer["model_stats"][0]["inference_stats"]["success"]["count"])


def asked_with(context: Context) -> InferenceRequest:
    return replace(request([[1.0]]), context=context)


@asynccontextmanager
async def started(root: Predictor) -> AsyncIterator[None]:
    """A busy machine may take longer to connect than a start waits."""
    async with running(root, settings=SETTINGS):
        async with asyncio.timeout(20):
            while not root.health().ready:
                await asyncio.sleep(0.01)
        yield


def elsewhere(
    scheme: str,
    part: Predictor,
    test: Callable[[Service], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    believed: bool = True,
) -> None:
    """Runs `test` with a Service whose part is on another server, which serves it alone or, not `believed`, as any."""

    async def main() -> None:
        monkeypatch.delenv(URL, raising=False)

        def build() -> Predictor:
            return Service("part", part)

        async with served_elsewhere(scheme, build, service="part" if believed else None) as (url, _):
            monkeypatch.setenv(URL, url)
            service = Service("part", part)
            assert isinstance(service.inner, RemoteModel)
            await asyncio.wait_for(test(service), 30)

    asyncio.run(main())


# ---- notes -------------------------------------------------------------------------------------------------------


def system(part: Service) -> Predictor:
    return Pipeline(CountingModel("before"), FanOut({"left": part}, name="both"), name="whole")


async def noted(root: Predictor, context: Context) -> list[tuple[str, str, Any, bool]]:
    async with started(root):
        await root.predict(asked_with(context))
    return [(n.path, n.key, 0 if n.key == "ms" else n.value, n.public) for n in context.notes]


@by_http_and_grpc
def test_what_a_part_elsewhere_notes_arrives_as_if_it_ran_here(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Pipeline(Noting(CountingModel("a"), "first"), PredictionCache(Noting(CountingModel("b"), "second")))
    expected = asyncio.run(noted(system(Service("part", part)), Context("1")))
    assert ("whole/both/left/inner/first", "asked", "first", False) in expected
    assert ("whole/both/left/inner/second", "cache", "miss", True) in expected

    async def test(service: Service) -> None:
        assert await noted(system(service), Context("1")) == expected

    elsewhere(scheme, part, test, monkeypatch)


@by_http_and_grpc
def test_a_server_that_anyone_may_ask_gives_only_the_notes_that_callers_see(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(service: Service) -> None:
        notes = await noted(service, Context("1"))
        assert notes == [("part/inner", "answered", "model", True)]

    elsewhere(scheme, Noting(CountingModel("leaf"), "model"), test, monkeypatch, believed=False)


class Echo(CountingModel):
    """Gives back the parameters that it is sent, as some servers do."""

    def answer(self, request: InferenceRequest) -> InferenceResponse:
        return replace(super().answer(request), parameters=dict(request.parameters))


@by_http_and_grpc
def test_a_client_cannot_note_through_a_parameter(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(service: Service) -> None:
        async with started(service):
            parameters = {"mlp_notes": '[["/x", "arm", "evil", true]]', "kept": 1}
            asked = request([[1.0]], parameters=parameters)
            response = await service.predict(asked)
            assert asked.context.notes == []
            assert response.parameters == {"kept": 1}

    elsewhere(scheme, Echo(), test, monkeypatch)


def test_other_clients_do_not_see_notes() -> None:
    async def main() -> None:
        async with client(lambda: Noting(CountingModel("m")), settings=SETTINGS) as http:
            plain = (await http.post("/v2/models/m/infer", json=OIP)).json()
            assert set(plain["parameters"]) == {"identity"}
            asking = await http.post("/v2/models/m/infer", json=OIP, headers={"x-mlp-context": "{not JSON"})
            assert asking.json()["parameters"]["mlp_notes"] == '[["","answered","m",true]]'

    asyncio.run(main())


# ---- who asks ----------------------------------------------------------------------------------------------------


@by_http_and_grpc
def test_who_asks_and_what_a_part_reads_arrive_there(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = CountingModel("leaf")
    part = ByCaller(leaf)
    headers = {"x-tenant": "t", "user-id": "u", "authorization": "Bearer s", "x-request-id": "r"}

    async def test(service: Service) -> None:
        assert service.depends_on_caller
        root = Pipeline(CountingModel("before"), service, name="whole")
        async with client(lambda: root, settings=SETTINGS, headers=headers) as http:
            async with asyncio.timeout(20):
                while (await http.get("/health/ready")).status_code != 200:
                    await asyncio.sleep(0.01)
            for method, path, sent in (
                ("POST", "/predict", {"data": [[1.0]]}),
                ("POST", "/v2/models/whole/infer", {**OIP, "id": "é7"}),
                ("GET", "/predict/test", None),
                ("GET", "/metadata", None),
            ):
                assert (await http.request(method, path, json=sent)).status_code == 200
            assert await counted(http, "whole") == 2.0
        seen = [asked.context for asked in leaf.requests]
        assert [context.purpose for context in seen] == ["request", "request", "test", "probe"]
        assert [context.caller_id for context in seen] == ["r", "é7", "r", "r"]
        assert {context.headers.get("authorization") for context in seen} == {None}
        assert part.tenants == ["t"] * 4
        assert {context.headers["user-id"] for context in seen} == {"u"}

    elsewhere(scheme, part, test, monkeypatch)


def test_a_caller_without_an_id_has_none_there_either(monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = CountingModel("leaf")

    async def test(service: Service) -> None:
        async with started(service):
            await service.predict(request([[1.0]]))
        assert leaf.requests[0].context.caller_id is None

    elsewhere("http", leaf, test, monkeypatch)


@pytest.mark.parametrize(
    ("service", "header", "purpose"),
    [(None, '{"purpose": "probe"}', "request"), ("part", '{"purpose": "probe"}', "probe"), ("part", "{}", "request")],
)
def test_only_a_part_believes_what_its_callers_say_of_their_purpose(
    service: str | None, header: str, purpose: str
) -> None:
    leaf = CountingModel("leaf")

    async def main() -> None:
        settings = replace(SETTINGS, service=service)
        async with client(lambda: Service("part", leaf), settings=settings) as http:
            sent = {"x-mlp-context": header, "x-request-id": "r"}
            assert (await http.post("/predict", json={"data": [[1.0]]}, headers=sent)).status_code == 200
            assert (await http.post("/v2/models/part/infer", json=OIP, headers=sent)).status_code == 200
            assert await counted(http, "part") == (2.0 if purpose == "request" else 0.0)
        assert [asked.context.purpose for asked in leaf.requests] == [purpose, purpose]

    asyncio.run(main())


@pytest.mark.parametrize("header", ["", "{", '{"purpose": "sabotage"}', '{"caller_id": 7}', "[" * 5000, "\xff"])
def test_a_malformed_header_is_refused_by_who_believes_it(header: str) -> None:
    async def main() -> None:
        settings = replace(SETTINGS, service="part")
        async with client(lambda: Service("part", CountingModel()), settings=settings) as http:
            sent = [(b"x-mlp-context", header.encode("latin-1"))]
            answer = await http.post("/predict", json={"data": [[1.0]]}, headers=sent)
            assert (answer.status_code, answer.headers["x-mlp-code"]) == (400, "INVALID")
            assert "x-mlp-context" in answer.json()["error"]

    asyncio.run(main())


# ---- headers that pieces read ------------------------------------------------------------------------------------


@by_http_and_grpc
def test_a_header_that_a_piece_declares_reaches_it_and_no_other_does(scheme: str) -> None:
    leaf = CountingModel("leaf")
    part = ByCaller(leaf)

    async def main() -> None:
        async with served_elsewhere(scheme, lambda: Limitless(part)) as (url, _):
            remote = RemoteModel(url, "leaf")
            async with started(remote):
                await remote.predict(request([[1.0]], headers={"x-tenant": "t", "x-other": "o"}))
        assert part.tenants == ["t"]
        assert "x-other" not in leaf.requests[0].context.headers

    asyncio.run(main())


class Limitless(Noting):
    """A piece that reads nothing, around one that does."""


@pytest.mark.parametrize("name", ["authorization", "Cookie", "x-api-key", "X-Admin-Token", "proxy-authorization"])
def test_credentials_cannot_be_declared(name: str) -> None:
    part = ByCaller(CountingModel())
    part.reads_headers = (name,)

    async def main() -> None:
        async with serve(lambda: part, settings=SETTINGS).running():
            raise AssertionError("it must not start")

    with pytest.raises(CompositionError, match=rf"'{name.lower()}' may carry credentials, which are never read"):
        asyncio.run(main())


# ---- errors ------------------------------------------------------------------------------------------------------


@by_http_and_grpc
@pytest.mark.parametrize("code", list(ErrorCode))
def test_an_error_arrives_with_its_code_its_words_and_its_time(
    scheme: str, code: ErrorCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(service: Service) -> None:
        async with started(service):
            with pytest.raises(PredictionError) as caught:
                await service.predict(request([[1.0]]))
            assert caught.value.code is code
            assert (str(caught.value), caught.value.retry_after) == ("these are the words", 7.0)

    elsewhere(scheme, FlakyModel(error=error_for(code, "these are the words", retry_after=7.0)), test, monkeypatch)
