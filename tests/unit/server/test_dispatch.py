"""What every request goes through: limits, credentials, deadlines, and an answer to whatever goes wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.middleware import Middleware

from mlpatterns.base import BasePredictor
from mlpatterns.errors import Denied, ErrorCode, InvalidInput, error_for
from mlpatterns.oip.status import http_status
from mlpatterns.server.app import App, serve
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FlakyModel, SlowModel, client
from mlpatterns.user_errors import CompositionError
from unit.server.doubles import iris

ROW = {"data": [[5.1, 3.5, 1.4, 0.2]]}


def run(served: Any, *requests: tuple[str, str, Mapping[str, Any]], **options: Any) -> list[httpx.Response]:
    """The answers to requests sent one after the other."""

    async def main() -> list[httpx.Response]:
        async with client(served, **options) as http:
            return [await http.request(method, path, **fields) for method, path, fields in requests]

    return asyncio.run(main())


def post(served: Any, **fields: Any) -> httpx.Response:
    options = fields.pop("options", {})
    return run(served, ("POST", "/predict", {"json": ROW, **fields}), **options)[0]


@pytest.mark.parametrize("code", list(ErrorCode))
def test_each_error_code_has_its_status_and_one_sentence(code: ErrorCode) -> None:
    answer = post(FlakyModel(error=error_for(code, "told so")))
    assert (answer.status_code, answer.json()) == (http_status(code), {"error": "told so"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-mlp-prediction-id"]
    assert answer.headers["x-mlp-code"] == code


def test_a_full_server_says_when_to_come_back() -> None:
    answer = post(FlakyModel(error=error_for(ErrorCode.OVERLOADED, "full", retry_after=2.5)))
    assert answer.headers["retry-after"] == "3"


def test_an_unforeseen_failure_is_logged_and_says_nothing_of_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    answer = post(FlakyModel(error=RuntimeError("secret path /etc")))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "secret path" in caplog.text


def test_what_an_operator_can_mend_is_logged_in_one_sentence(caplog: pytest.LogCaptureFixture) -> None:
    answer = post(FlakyModel(error=CompositionError("'b' takes other inputs")))
    assert answer.status_code == 500
    assert "takes other inputs" not in answer.text
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (record.getMessage(), record.exc_info) == ("the server failed: 'b' takes other inputs", None)


def test_an_unknown_path_and_a_wrong_method_are_json_too() -> None:
    unknown, wrong, head = run(iris(), ("GET", "/x", {}), ("PUT", "/predict", {}), ("HEAD", "/health", {}))
    assert (unknown.status_code, unknown.json()) == (404, {"error": "there is nothing at this path"})
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json()["error"].startswith("this path")
    assert head.status_code == 200


@pytest.mark.parametrize("path", ["/v2/models/..%2f..%2fetc/infer", "/v2/models/%00/ready", "/v2/models/../../x"])
def test_a_name_that_looks_like_a_path_is_an_unknown_model(path: str) -> None:
    answer = run(iris(), ("GET", path, {}))[0]
    assert answer.status_code in {404, 405}
    assert "error" in answer.json()


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    settings = Settings(max_body_bytes=1_000_000)
    answer = post(iris(), content=b" " * 1_000_001, json=None, options={"settings": settings})
    assert (answer.status_code, answer.json()["error"]) == (
        413,
        "the body is larger than the 1000000 bytes that this server accepts",
    )


def test_a_chunked_body_over_the_limit_is_refused_while_it_is_read() -> None:
    async def chunks() -> Any:
        for _ in range(11):
            yield b" " * 100_000

    async def main() -> httpx.Response:
        async with client(iris(), settings=Settings(max_body_bytes=1_000_000)) as http:
            return await http.post("/predict", content=chunks())

    assert asyncio.run(main()).status_code == 413


@pytest.mark.parametrize("headers", [[("x" * 40_000, "1")], [("x-many", "x" * 1000)] * 40])
def test_names_and_repeated_headers_count_too(headers: Any) -> None:
    assert post(iris(), headers=headers).status_code == 413


def test_headers_over_the_limit_are_refused() -> None:
    answer = post(iris(), headers={"x-padding": "x" * 40_000})
    assert answer.status_code == 413


def test_the_server_bounds_the_bodies_it_holds_together() -> None:
    async def main() -> list[int]:
        arrived = asyncio.Event()

        async def slow_body() -> Any:
            yield b" " * 600_000
            await arrived.wait()
            yield b" " * 600_000

        async with client(iris(), settings=Settings(max_held_bytes=1_000_000)) as http:
            first = asyncio.ensure_future(http.post("/predict", content=slow_body()))
            await asyncio.sleep(0.02)
            second = await http.post("/predict", content=b" " * 700_000 + b"{")
            arrived.set()
            third = await first
            after = await http.post("/predict", json=ROW)
            return [second.status_code, third.status_code, after.status_code]

    assert asyncio.run(main())[1:] == [503, 200]


def test_work_past_its_time_limit_is_answered_with_504_and_cancelled() -> None:
    model = SlowModel(seconds=60)
    answer = post(model, headers={"x-request-timeout-ms": "20"})
    assert (answer.status_code, answer.json()) == (504, {"error": "the deadline passed before the answer was ready"})
    assert (model.cancelled, model.running) == (1, 0)


def test_the_servers_own_time_limit_caps_what_the_client_asks_for() -> None:
    model = SlowModel(seconds=60)
    options = {"settings": Settings(request_timeout=0.02)}
    assert post(model, headers={"x-request-timeout-ms": "60000"}, options=options).status_code == 504


@pytest.mark.parametrize("header", ["0", "-5", "soon", "1.5", "9" * 30])
def test_a_malformed_time_limit_is_bad_input(header: str) -> None:
    assert post(iris(), headers={"x-request-timeout-ms": header}).status_code == 400


def test_a_thread_that_will_not_stop_keeps_its_slot_but_not_the_client() -> None:
    model = SlowModel(seconds=0.2, blocking=True)

    async def main() -> tuple[int, int, int]:
        async with client(model, settings=Settings(max_concurrency=1, max_queue=0)) as http:
            late = await http.post("/predict", json=ROW, headers={"x-request-timeout-ms": "20"})
            return late.status_code, model.running, model.most_running

    # the test transport returns when the app does, so by then the work has ended; it was never counted as ended early
    assert asyncio.run(main()) == (504, 0, 1)


def test_more_requests_than_slots_and_queue_get_503() -> None:
    async def main() -> list[int]:
        async with client(SlowModel(seconds=0.05), settings=Settings(max_concurrency=2, max_queue=1)) as http:
            answers = await asyncio.gather(*[http.post("/predict", json=ROW) for _ in range(5)])
            return sorted(answer.status_code for answer in answers)

    assert asyncio.run(main()) == [200, 200, 200, 503, 503]


def test_health_is_answered_even_when_the_server_is_full() -> None:
    async def main() -> tuple[int, int]:
        async with client(SlowModel(seconds=0.2), settings=Settings(max_concurrency=1, max_queue=0)) as http:
            busy = asyncio.ensure_future(http.post("/predict", json=ROW))
            await asyncio.sleep(0.05)
            health = await http.get("/health/ready")
            return health.status_code, (await busy).status_code

    assert asyncio.run(main()) == (200, 200)


def test_api_keys_guard_everything_but_health() -> None:
    settings = Settings(api_keys={"alice": "s3cret", "bob": "other"})
    key = {"x-api-key": "s3cret"}
    answers = run(
        iris(),
        ("POST", "/predict", {"json": ROW}),
        ("POST", "/predict", {"json": ROW, "headers": {"x-api-key": "wrong"}}),
        ("POST", "/predict", {"json": ROW, "headers": key}),
        ("POST", "/predict", {"json": ROW, "headers": {"authorization": "Bearer other"}}),
        ("GET", "/v2/models/iris", {}),
        ("GET", "/metrics", {}),
        ("GET", "/health/ready", {}),
        ("GET", "/v2/health/live", {}),
        settings=settings,
    )
    assert [answer.status_code for answer in answers] == [401, 401, 200, 200, 401, 401, 200, 200]
    assert answers[0].headers["www-authenticate"] == "Bearer"
    assert answers[1].json() == {"error": "the API key is not known"}


def test_the_principal_and_the_allowed_headers_reach_the_predictor_and_no_others() -> None:
    model = CountingModel()
    post(
        model,
        headers={"authorization": "Bearer k", "X-Request-Id": "r1", "User-Id": "u", "cookie": "c"},
        options={"settings": Settings(api_keys={"alice": "k"})},
    )
    context = model.requests[0].context
    assert context.principal == "alice"
    assert context.headers == {"x-request-id": "r1", "user-id": "u"}


def test_auth_may_be_any_function_of_the_headers() -> None:
    def authenticate(headers: Mapping[bytes, bytes]) -> str:
        if headers.get(b"x-user") != b"carol":
            raise Denied("only carol")
        return "carol"

    model = CountingModel()
    assert post(model, options={"auth": authenticate}).status_code == 401
    assert post(model, headers={"x-user": "carol"}, options={"auth": authenticate}).status_code == 200


def test_middleware_wraps_the_whole_app() -> None:
    class Tag:
        def __init__(self, app: App, tag: bytes) -> None:
            self.app, self.tag = app, tag

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def tagged(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"x-tag", self.tag))
                await send(message)

            await self.app(scope, receive, tagged)

    assert post(iris(), options={"middleware": [Middleware(Tag, tag=b"1")]}).headers["x-tag"] == "1"  # type: ignore[arg-type]


def test_an_answer_that_json_cannot_say_is_the_models_fault_and_the_sentence_has_the_way_out() -> None:
    def nan(_: None, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"probabilities": np.full((len(inputs["input"]), 3), np.nan, np.float32)}

    for data in (ROW, {"data": ROW["data"] * 2}):
        answer = post(iris(predict=nan), json=data)
        assert answer.status_code == 500
        assert "the model answered NaN" in answer.json()["error"]
        assert "binary output" in answer.json()["error"]


def test_a_model_that_is_not_ready_is_503_and_so_is_ready() -> None:
    class Late(BasePredictor):
        """Like a remote model whose server has not answered yet."""

    predict, ready, live, oip = run(
        Late("late"),
        ("POST", "/predict", {"json": ROW}),
        ("GET", "/health/ready", {}),
        ("GET", "/health/live", {}),
        ("GET", "/v2/models/late", {}),
    )
    assert (predict.status_code, predict.headers["retry-after"]) == (503, "1")
    assert (ready.status_code, ready.json()["ready"], live.status_code, oip.status_code) == (503, False, 200, 503)


def test_a_draining_server_is_not_ready_and_closes_connections_but_still_answers() -> None:
    app = serve(iris)

    async def main() -> None:
        async with client(app) as http:
            app.draining = True
            ready, predict = await http.get("/health/ready"), await http.post("/predict", json=ROW)
            assert (ready.status_code, predict.status_code) == (503, 200)
            assert predict.headers["connection"] == "close"

    asyncio.run(main())


def test_an_app_that_was_not_started_says_so() -> None:
    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=serve(iris)), base_url="http://x") as http:
            return await http.get("/health")

    answer = asyncio.run(main())
    assert answer.status_code == 503
    assert answer.json()["error"].startswith(
        "the app was not started: its server or the app around it must run its lifespan"
    )


def test_metrics_count_by_route_and_status() -> None:
    answers = run(
        iris(),
        ("POST", "/predict", {"json": ROW}),
        ("POST", "/predict", {"json": {}}),
        ("GET", "/unknown/1", {}),
        ("GET", "/unknown/2", {}),
        ("GET", "/metrics", {}),
    )
    text = answers[-1].text
    assert 'mlpatterns_requests_total{route="/predict",status="200"} 1.0' in text
    assert 'mlpatterns_requests_total{route="/predict",status="400"} 1.0' in text
    assert 'mlpatterns_requests_total{route="(unknown)",status="404"} 2.0' in text
    assert 'mlpatterns_request_seconds_count{route="/predict"} 2.0' in text


def test_the_access_log_names_request_and_status_and_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    from mlpatterns.server.logs import JsonLogFormatter, Text

    with caplog.at_level(logging.INFO):
        run(iris(), ("GET", "/x%0aforged", {}), settings=Settings(access_log=True))
    record = next(record for record in caplog.records if record.name == "mlpatterns.access")
    for formatter in (Text(), JsonLogFormatter()):
        line = formatter.format(record)
        assert "\n" not in line
        assert "404" in line


def test_a_line_of_the_log_keeps_every_letter_and_escapes_what_is_unprintable() -> None:
    from mlpatterns.server.logs import Text

    record = logging.LogRecord("a", logging.INFO, "", 0, "モデル %s", ("a\nb\x9bc\u2028é",), None)
    assert Text().format(record).endswith(r"モデル a\nb\x9bc\u2028é")


def test_each_app_has_metrics_of_its_own() -> None:
    for _ in range(2):
        text = run(iris(), ("POST", "/predict", {"json": ROW}), ("GET", "/metrics", {}))[-1].text
        assert 'mlpatterns_requests_total{route="/predict",status="200"} 1.0' in text


def test_an_error_from_a_thread_goes_with_its_request_and_does_not_wait_for_the_garbage_collector() -> None:
    alive: list[weakref.ref[BaseException]] = []

    class Failing(CountingModel):
        async def work(self, runtime: Any, request: Any) -> None:
            def made() -> InvalidInput:
                error = InvalidInput("from the thread")
                alive.append(weakref.ref(error))
                return error

            def fail() -> None:
                raise made()

            await runtime.offload(fail)

    async def main() -> None:
        async with client(Failing()) as http:
            gc.collect()
            gc.disable()
            try:
                assert (await http.post("/predict", json=ROW)).status_code == 400
                await asyncio.sleep(0.05)  # the thread lets go of it a moment later
                assert [ref() for ref in alive] == [None]
            finally:
                gc.enable()

    asyncio.run(main())
