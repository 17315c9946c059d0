"""The gRPC face, by a client on a real socket: the six calls, limits, keys, deadlines, health."""

from __future__ import annotations

import asyncio
import gzip
import logging
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from mlpatterns import __version__
from mlpatterns.base import Wrapper
from mlpatterns.errors import Overloaded, RateLimited
from mlpatterns.oip import grpc_messages as messages
from mlpatterns.oip.grpc_description import decode_metadata
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.server.grpc.streams import HEALTH_SERVICE
from mlpatterns.server.metrics import exposition
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FlakyModel, SlowModel
from unit.server.doubles import FIELDS, LABELS, iris
from unit.server.grpc.asking import ROW, Asking, Status, asking, iris_request

KEYS = Settings(api_keys={"ann": "secret"})


def rows_of(answer: Any, index: int = 0) -> Any:
    return np.frombuffer(answer.raw_output_contents[index], "<f4").reshape(answer.outputs[index].shape).tolist()


def summing(rows: Any = ((1, 2),), **fields: Any) -> Any:
    """A request for the models of `testing`."""
    return iris_request(rows, model=fields.pop("model", "counting"), **fields)


def test_what_was_asked_over_grpc_is_in_the_statistics_of_the_model() -> None:
    async def test(ask: Asking) -> None:
        await ask.infer(iris_request())
        text = metrics(ask)
        assert 'mlpatterns_model_requests_total{end="answered",piece="iris"} 1.0' in text
        assert 'mlpatterns_model_rows_total{piece="iris"} 1.0' in text

    asking(test, iris())


def metrics(ask: Asking) -> str:
    return exposition(ask.app._open[0].metrics)[1].decode()  # type: ignore[arg-type]


# ---- the six calls -----------------------------------------------------------------------------------------------


def test_live_ready_and_what_the_server_is() -> None:
    async def test(ask: Asking) -> None:
        assert messages.ServerLiveResponse.FromString(await ask.call("ServerLive", b"")).live
        assert messages.ServerReadyResponse.FromString(await ask.call("ServerReady", b"")).ready
        found = messages.ServerMetadataResponse.FromString(await ask.call("ServerMetadata", b""))
        assert (found.name, found.version) == ("mlpatterns", __version__)
        ask.app.draining = True
        assert messages.ServerLiveResponse.FromString(await ask.call("ServerLive", b"")).live
        assert not messages.ServerReadyResponse.FromString(await ask.call("ServerReady", b"")).ready

    asking(test, iris())


def test_a_model_says_what_it_takes_to_everybody_and_the_rest_to_ours() -> None:
    async def test(ask: Asking) -> None:
        asked = messages.ModelMetadataRequest(name="iris", version="3").SerializeToString()
        found = messages.ModelMetadataResponse.FromString(await ask.call("ModelMetadata", asked))
        assert (found.name, list(found.versions)) == ("iris", ["3"])
        assert [(t.name, t.datatype, list(t.shape)) for t in found.inputs] == [("input", "FP32", [-1, 4])]
        described, identity = decode_metadata(found)
        assert (described.labels, described.inputs[0].fields) == (LABELS, FIELDS)
        assert identity == ask.app.models["iris"].identity()
        asked = messages.ModelReadyRequest(name="iris").SerializeToString()
        assert messages.ModelReadyResponse.FromString(await ask.call("ModelReady", asked)).ready

    asking(test, iris())


@pytest.mark.parametrize("raw", [True, False])
def test_a_row_is_answered_raw_whichever_way_it_came(raw: bool) -> None:
    async def test(ask: Asking) -> None:
        answer = await ask.infer(iris_request(raw=raw, id="7"))
        assert (answer.model_name, answer.model_version, answer.id) == ("iris", "3", "7")
        assert rows_of(answer) == [[0.75, 0.125, 0.125]]
        assert ask.trailing["x-mlp-version"] == "3"
        assert len(ask.trailing["x-mlp-prediction-id"]) == 36

    asking(test, iris())


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("rows", [5_000, 400_000])
def test_large_messages_are_answered_off_the_loop(rows: int, raw: bool) -> None:
    async def test(ask: Asking) -> None:
        answer = await ask.infer(iris_request(np.tile(ROW, (rows, 1)), raw=raw))
        assert list(answer.outputs[0].shape) == [rows, 3]
        assert len(answer.raw_output_contents[0]) == rows * 12

    asking(test, iris())


def test_several_models_are_served_by_the_names_they_are_given() -> None:
    async def test(ask: Asking) -> None:
        assert (await ask.infer(iris_request(model="a"))).model_name == "a"
        answer = await ask.infer(summing(model="b"))
        assert (answer.model_name, rows_of(answer)) == ("b", [[3.0]])

    asking(test, {"a": iris(), "b": CountingModel()})


@pytest.mark.parametrize("name", ["nope", "", "../iris", "iris\0", "x" * 5000])
def test_an_unknown_model_or_version_is_not_found(name: str) -> None:
    async def test(ask: Asking) -> None:
        status, text = await ask.not_inferred(iris_request(model=name))
        assert status is Status.NOT_FOUND
        assert f"there is no model {name[:64]!r}; this server has iris" in text
        for path, kind in (
            ("ModelReady", messages.ModelReadyRequest),
            ("ModelMetadata", messages.ModelMetadataRequest),
        ):
            assert (await ask.refused(path, kind(name=name).SerializeToString()))[0] is Status.NOT_FOUND
            asked = kind(name="iris", version="9").SerializeToString()
            assert await ask.refused(path, asked) == (Status.NOT_FOUND, "the model 'iris' has no version '9'; it has 3")

    asking(test, iris())


def test_an_unknown_method_is_unimplemented() -> None:
    async def test(ask: Asking) -> None:
        assert (await ask.refused("ModelStreamInfer", b""))[0] is Status.UNIMPLEMENTED
        assert (await ask.refused("other.Service/Call", b""))[0] is Status.UNIMPLEMENTED

    asking(test, iris())


# ---- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["ModelInfer", "ModelReady", "ModelMetadata"])
def test_what_is_no_protobuf_is_refused_with_a_sentence(path: str) -> None:
    async def test(ask: Asking) -> None:
        expected = (Status.INVALID_ARGUMENT, f"the message is not a valid {path}Request")
        assert await ask.refused(path, b"\xff\xff\xff") == expected
        assert await ask.refused(path, b"\xff" * 100_000) == expected

    asking(test, iris())


def test_bad_input_has_the_sentence_of_rest() -> None:
    async def test(ask: Asking) -> None:
        status, text = await ask.not_inferred(iris_request([[1, 2, 3]]))
        assert (status, text) == (Status.INVALID_ARGUMENT, "input 'input' has shape [1, 3], but the model has [-1, 4]")

    asking(test, iris())


def test_an_exception_of_the_model_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: None, inputs: Any) -> Any:
        raise ValueError("secret path /etc/x")

    async def test(ask: Asking) -> None:
        status, text = await ask.not_inferred(iris_request())
        assert status is Status.INTERNAL
        assert "secret" not in text
        assert "ValueError" not in text

    with caplog.at_level(logging.CRITICAL):
        asking(test, iris(predict=broken))


class PanicException(BaseException):
    """As Rust's extensions raise it."""


RAISED = [
    *(
        (kind, place)
        for kind in (
            SystemExit,
            StopIteration,
            asyncio.CancelledError,
            GeneratorExit,
            KeyboardInterrupt,
            PanicException,
        )
        for place in ("loop", "thread")
    ),
]


@pytest.mark.parametrize(("kind", "place"), RAISED)
def test_whatever_a_model_raises_its_caller_alone_is_told_and_its_slot_is_free(
    kind: type[BaseException], place: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: None, inputs: Any) -> Any:
        raise kind("secret")

    async def test(ask: Asking) -> None:
        neighbour = asyncio.ensure_future(ask.infer(summing(model="slow")))
        status, text = await ask.not_inferred(iris_request(), timeout=5)
        assert status is Status.INTERNAL
        assert "secret" not in text
        assert (await neighbour).model_name == "slow"
        assert "mlpatterns_requests_in_flight 0.0" in metrics(ask)
        assert (limit := ask.app.hosted["iris"].limit) is not None
        assert not limit.busy
        assert await ask.call("ServerLive", b"")

    with caplog.at_level(logging.CRITICAL):
        asking(test, {"iris": iris(predict=broken, run_on=place), "slow": SlowModel(seconds=0.2)})


@pytest.mark.parametrize(
    ("error", "status", "pushback"),
    [
        (RateLimited("slower", retry_after=7), Status.RESOURCE_EXHAUSTED, "7000"),
        (Overloaded("full"), Status.UNAVAILABLE, "1000"),
    ],
)
def test_an_error_that_time_mends_says_when_to_try_again(error: Any, status: Any, pushback: str) -> None:
    async def test(ask: Asking) -> None:
        assert await ask.not_inferred(summing(model="flaky")) == (status, error.message)
        assert ask.pushback == pushback
        assert "x-mlp-prediction-id" in ask.trailing

    asking(test, FlakyModel(error=error))


@pytest.mark.parametrize("packed", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("rows", [1, 100, 10_000])
def test_packed_messages_are_read(packed: Any, rows: int) -> None:
    async def test(ask: Asking) -> None:
        answer = await ask.infer(iris_request(np.tile(ROW, (rows, 1))), compression=packed)
        assert list(answer.outputs[0].shape) == [rows, 3]

    asking(test, iris())


@pytest.mark.parametrize("packed", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_packed_message_is_unpacked_no_further_than_it_may(packed: Any) -> None:
    async def test(ask: Asking) -> None:
        large = iris_request(np.zeros((500_000, 4)))
        status, text = await ask.not_inferred(large, compression=packed)
        assert status is Status.RESOURCE_EXHAUSTED
        assert text.startswith("the decompressed body is larger than 2000000 bytes")
        assert (await ask.refused("ServerMetadata", b"\x1f\x8b no gzip"))[0] is Status.INVALID_ARGUMENT

    asking(test, iris(), settings=Settings(max_body_bytes=2_000_000))


def test_more_bytes_than_all_requests_may_hold_together_are_refused() -> None:
    async def test(ask: Asking) -> None:
        large = iris_request(np.tile(ROW, (10_000, 1)))
        status, text = await ask.not_inferred(large)
        assert status is Status.UNAVAILABLE
        assert "as many bytes of requests and answers as it may" in text
        assert rows_of(await ask.infer(iris_request()))

    asking(test, iris(), settings=Settings(max_held_bytes=100_000))


# ---- who asks ----------------------------------------------------------------------------------------------------


def test_keys_come_as_metadata_and_health_needs_none() -> None:
    async def test(ask: Asking) -> None:
        assert (await ask.not_inferred(iris_request()))[0] is Status.UNAUTHENTICATED
        wrong = await ask.not_inferred(iris_request(), metadata={"x-api-key": "guess"})
        assert wrong == (Status.UNAUTHENTICATED, "the API key is not known")
        assert (await ask.refused("ServerMetadata", b""))[0] is Status.UNAUTHENTICATED
        for metadata in ({"x-api-key": "secret"}, {"authorization": "Bearer secret"}):
            assert rows_of(await ask.infer(iris_request(), metadata=metadata))
        for path in ("ServerLive", "ServerReady", f"{HEALTH_SERVICE}/Check"):
            await ask.call(path, b"")

    asking(test, iris(), settings=KEYS)


def test_pieces_see_the_principal_and_the_allowed_metadata_alone() -> None:
    model = CountingModel()

    async def test(ask: Asking) -> None:
        metadata = {"x-api-key": "secret", "user-id": "u", "x-other": "o", "traceparent": "t"}
        await ask.infer(summing(), metadata=metadata)
        context = model.requests[0].context
        assert context.principal == "ann"
        assert context.headers == {"user-id": "u", "traceparent": "t"}
        assert context.prediction_id == ask.trailing["x-mlp-prediction-id"]

    asking(test, model, settings=KEYS)


def test_metadata_too_large_are_refused() -> None:
    async def test(ask: Asking) -> None:
        status, text = await ask.not_inferred(iris_request(), metadata={"x-large": "x" * 2000})
        assert status is Status.RESOURCE_EXHAUSTED
        assert "larger than the 1000 bytes" in text

    asking(test, iris(), settings=Settings(max_header_bytes=1000))


def test_arm_cache_and_degraded_go_out_as_metadata() -> None:
    class Noting(Wrapper):
        async def predict(self, request: InferenceRequest) -> InferenceResponse:
            for key, value in (("arm", "b\n"), ("cache", "hit")):
                request.context.note(key, value, public=True)
            request.context.note("other", "x")
            found = await super().predict(request)
            return InferenceResponse(found.outputs, found.model_name, "1", degraded=True)

    async def test(ask: Asking) -> None:
        await ask.infer(summing())
        said = {name: value for name, value in ask.trailing.items() if name != "x-mlp-prediction-id"}
        assert said == {"x-mlp-version": "1", "x-mlp-arm": "b?", "x-mlp-cache": "hit", "x-mlp-degraded": "true"}

    asking(test, Noting(CountingModel()))


# ---- time --------------------------------------------------------------------------------------------------------


def timed(microseconds: int) -> Any:
    asked = summing(model="slow")
    asked.parameters["timeout"].int64_param = microseconds
    return asked


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("means", ["server", "parameter", "header"])
def test_a_deadline_is_told_in_time_and_the_slot_is_held_until_the_work_ends(blocking: bool, means: str) -> None:
    model = SlowModel(seconds=1, blocking=blocking)

    async def test(ask: Asking) -> None:
        asked = timed(100_000) if means == "parameter" else summing(model="slow")
        metadata = {"x-request-timeout-ms": "100"} if means == "header" else None
        status, text = await ask.not_inferred(asked, metadata=metadata)
        assert (status, text) == (Status.DEADLINE_EXCEEDED, "the deadline passed before the answer was ready")
        assert model.running == int(blocking), "a thread goes on, and counts"
        while model.running:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        route = f'route="/{messages.SERVICE}/ModelInfer"'
        assert f'mlpatterns_requests_total{{{route},status="DEADLINE_EXCEEDED"}} 1.0' in metrics(ask)
        assert "mlpatterns_requests_in_flight 0.0" in metrics(ask)

    asking(test, model, settings=Settings(request_timeout=0.1 if means == "server" else 30.0))


def test_a_clients_own_deadline_reaches_the_model() -> None:
    model = CountingModel()

    async def test(ask: Asking) -> None:
        await ask.infer(summing(), timeout=5)
        await ask.infer(summing())
        first, second = (request.deadline for request in model.requests if request.deadline)
        assert second - first > 20, "the first had its client's 5 seconds, and the second the server's 30"

    asking(test, model)


@pytest.mark.parametrize("leaving", ["cancel", "deadline"])
def test_a_client_that_leaves_cancels_its_work(leaving: str) -> None:
    model = SlowModel(seconds=60)

    async def test(ask: Asking) -> None:
        work = asyncio.ensure_future(ask.infer(summing(model="slow"), timeout=0.2 if leaving == "deadline" else None))
        while not model.running:
            await asyncio.sleep(0.01)
        if leaving == "cancel":
            work.cancel()
        await asyncio.wait([work])
        while model.running:
            await asyncio.sleep(0.01)
        assert model.cancelled == 1
        await asyncio.sleep(0.05)
        counted = metrics(ask)
        assert 'ModelInfer",status="CANCELLED"} 1.0' in counted or 'status="DEADLINE_EXCEEDED"} 1.0' in counted
        assert "mlpatterns_requests_in_flight 0.0" in counted

    asking(test, model)


@pytest.mark.parametrize("timeout", [-1, 0.5, True, "1"])
def test_a_timeout_that_is_no_number_of_microseconds_is_refused(timeout: Any) -> None:
    async def test(ask: Asking) -> None:
        asked = summing()
        kind = {int: "int64_param", float: "double_param", bool: "bool_param", str: "string_param"}[type(timeout)]
        setattr(asked.parameters["timeout"], kind, timeout)
        assert (await ask.not_inferred(asked))[0] is Status.INVALID_ARGUMENT

    asking(test, CountingModel())


# ---- metrics and health ------------------------------------------------------------------------------------------


def test_calls_are_counted_by_method_and_status() -> None:
    async def test(ask: Asking) -> None:
        await ask.infer(iris_request())
        await ask.not_inferred(iris_request(model="x"))
        text = metrics(ask)
        route = f'route="/{messages.SERVICE}/ModelInfer"'
        assert f'mlpatterns_requests_total{{{route},status="OK"}} 1.0' in text
        assert f'mlpatterns_requests_total{{{route},status="NOT_FOUND"}} 1.0' in text
        assert f"mlpatterns_request_seconds_count{{{route}}} 2.0" in text

    asking(test, iris())


def health(service: str = "") -> bytes:
    body: bytes = HealthCheckRequest(service=service).SerializeToString()
    return body


CHECK, WATCH = f"{HEALTH_SERVICE}/Check", f"{HEALTH_SERVICE}/Watch"


def test_health_is_serving_until_the_server_drains() -> None:
    async def test(ask: Asking) -> None:
        for service in ("", messages.SERVICE):
            assert HealthCheckResponse.FromString(await ask.call(CHECK, health(service))).status == 1
        status, text = await ask.refused(CHECK, health("other"))
        assert status is Status.NOT_FOUND
        assert text == f"there is no service 'other'; ask about {messages.SERVICE!r}, or about ''"
        ask.app.draining = True
        assert HealthCheckResponse.FromString(await ask.call(CHECK, health())).status == 2

    asking(test, iris())


def test_a_watcher_is_told_of_each_change() -> None:
    async def test(ask: Asking) -> None:
        async def watched(body: bytes, count: int) -> list[int]:
            watch = ask.channel.unary_stream(f"/{WATCH}")(body)
            seen = []
            async for said in watch:
                seen.append(HealthCheckResponse.FromString(said).status)
                if len(seen) == count:
                    break
                ask.app.draining = True
            watch.cancel()
            return seen

        assert await watched(health("other"), 1) == [3]
        assert await watched(b"\xff", 1) == [3]
        assert await watched(gzip.compress(health(messages.SERVICE)), 1) == [1]
        assert await watched(health(), 2) == [1, 2]

    asking(test, iris())


def test_there_is_an_end_to_how_many_may_watch() -> None:
    async def test(ask: Asking) -> None:
        method = ask.channel.unary_stream(f"/{WATCH}")
        watches = [method(health()) for _ in range(100)]
        for watch in watches:
            await watch.read()
        with pytest.raises(grpc.aio.AioRpcError, match="100 watch already"):
            await method(health()).read()
        watches[0].cancel()
        await asyncio.sleep(0.3)
        assert await method(health()).read()
        for watch in watches[1:]:
            watch.cancel()

    asking(test, iris(), settings=Settings(max_grpc_streams=128))


def test_a_sentence_that_no_client_could_take_is_cut() -> None:
    async def test(ask: Asking) -> None:
        status, text = await ask.not_inferred(summing(model="flaky"))
        assert (status, text) == (Status.UNAVAILABLE, "花" * 800)

    asking(test, FlakyModel(error=Overloaded("花" * 5000)))
