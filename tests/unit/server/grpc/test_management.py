"""What clients ask over gRPC beside inference: Triton's management of models, and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.json_format import MessageToDict
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from mlpatterns.oip import grpc_messages as messages
from mlpatterns.server.grpc.streams import HEALTH_SERVICE, REFLECTION
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel
from unit.server.doubles import iris
from unit.server.grpc.asking import Asking, Status, asking, iris_request

TOKEN = Settings(admin_token="t0ken")
ADMIN = {"x-admin-token": "t0ken"}


async def over_http(ask: Asking, method: str, path: str) -> Any:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=ask.app), base_url="http://test") as http:
        return (await http.request(method, path)).json()


async def over_grpc(ask: Asking, call: str, **fields: Any) -> Any:
    """The response as a dictionary; protobuf writes its 64-bit integers as text there."""
    body = getattr(messages, f"{call}Request")(**fields).SerializeToString()
    response = getattr(messages, f"{call}Response").FromString(await ask.call(call, body))
    return MessageToDict(response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def with_text(value: Any) -> Any:
    """What HTTP said, with integers as text."""
    if isinstance(value, dict):
        return {key: with_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [with_text(each) for each in value]
    return str(value)


@pytest.mark.parametrize("version", ["", "3"])
@pytest.mark.parametrize(("call", "path"), [("ModelConfig", "config"), ("ModelStatistics", "stats")])
def test_configuration_and_statistics_are_those_of_http(call: str, path: str, version: str) -> None:
    async def test(ask: Asking) -> None:
        await ask.infer(iris_request())
        said = await over_grpc(ask, call, name="iris", version=version)
        expected = await over_http(ask, "GET", f"/v2/models/iris/{path}")
        assert with_text(said) == with_text({"config": expected} if path == "config" else expected)

    asking(test, iris())


def test_statistics_of_no_model_by_name_are_those_of_all() -> None:
    async def test(ask: Asking) -> None:
        said = await over_grpc(ask, "ModelStatistics")
        assert [model["name"] for model in said["model_stats"]] == ["a", "b"]

    asking(test, {"a": CountingModel(), "b": CountingModel()})


@pytest.mark.parametrize("call", ["ModelConfig", "ModelStatistics"])
def test_an_unknown_model_or_version_has_none(call: str) -> None:
    async def test(ask: Asking) -> None:
        request = getattr(messages, f"{call}Request")
        for name, version in (("rose", ""), ("iris", "9")):
            body = request(name=name, version=version).SerializeToString()
            assert (await ask.refused(call, body))[0] is Status.NOT_FOUND

    asking(test, iris())


def changing(name: str = "iris", **parameters: str) -> bytes:
    """A request to load or to unload: both have the same fields."""
    request = messages.RepositoryModelLoadRequest(model_name=name)
    for key, value in parameters.items():
        request.parameters[key].string_param = value
    body: bytes = request.SerializeToString()
    return body


def test_a_model_that_is_unloaded_is_not_ready_and_comes_back_with_a_load() -> None:
    async def test(ask: Asking) -> None:
        assert await over_grpc(ask, "ModelReady", name="iris") == {"ready": True}
        await ask.call("RepositoryModelUnload", changing(), metadata=ADMIN)
        assert await over_grpc(ask, "ModelReady", name="iris") == {"ready": False}
        assert await over_grpc(ask, "ModelReady", name="iris", version="3") == {"ready": False}
        assert await ask.not_inferred(iris_request()) == (Status.UNAVAILABLE, "the model 'iris' is not loaded")
        index = await over_grpc(ask, "RepositoryIndex")
        assert index == {"models": await over_http(ask, "POST", "/v2/repository/index")}
        assert index["models"][0]["state"] == "UNAVAILABLE"
        assert await over_grpc(ask, "RepositoryIndex", ready=True) == {"models": []}
        await ask.call("RepositoryModelLoad", changing(), metadata=ADMIN)
        assert await over_grpc(ask, "ModelReady", name="iris") == {"ready": True}
        assert (await over_grpc(ask, "RepositoryIndex", ready=True))["models"][0]["version"] == "3"

    asking(test, iris, settings=TOKEN)


@pytest.mark.parametrize("call", ["RepositoryModelLoad", "RepositoryModelUnload"])
def test_only_who_has_the_token_loads_and_unloads_and_only_what_build_makes(call: str) -> None:
    async def test(ask: Asking) -> None:
        assert (await ask.refused(call, changing()))[0] is Status.UNAUTHENTICATED
        wrong = await ask.refused(call, changing(), metadata={"x-admin-token": "guess"})
        assert wrong == (Status.UNAUTHENTICATED, "the admin token is not right")
        unknown = await ask.refused(call, changing("rose"), metadata=ADMIN)
        assert unknown == (Status.NOT_FOUND, "there is no model 'rose'; this server has iris")

    asking(test, iris, settings=TOKEN)


def test_without_a_token_commands_are_off() -> None:
    async def test(ask: Asking) -> None:
        status, text = await ask.refused("RepositoryModelUnload", changing(), metadata=ADMIN)
        assert status is Status.UNAUTHENTICATED
        assert "commands are off" in text

    asking(test, iris)


@pytest.mark.parametrize("parameter", ["config", "file:1/model.onnx"])
def test_a_model_from_outside_is_refused(parameter: str) -> None:
    async def test(ask: Asking) -> None:
        body = changing(**{parameter: "{}"})
        status, text = await ask.refused("RepositoryModelLoad", body, metadata=ADMIN)
        assert status is Status.INVALID_ARGUMENT
        assert "send neither a config nor files" in text

    asking(test, iris, settings=TOKEN)


def test_with_several_workers_the_answer_says_what_to_do_instead() -> None:
    async def test(ask: Asking) -> None:
        status, text = await ask.refused("RepositoryModelLoad", changing(), metadata=ADMIN)
        assert status is Status.ABORTED
        assert "this server has 4: send SIGHUP" in text

    asking(test, iris, settings=Settings(admin_token="t0ken", workers=4))


# ---- reflection ---------------------------------------------------------------------------------------------------

Reflect = Callable[..., Awaitable[Any]]


def reflecting(ask: Asking) -> tuple[Any, Reflect]:
    """An open stream, and what asks on it."""
    stream = ask.channel.stream_stream(f"/{REFLECTION}")()

    async def reflect(**fields: Any) -> Any:
        await stream.write(ServerReflectionRequest(**fields).SerializeToString())
        return ServerReflectionResponse.FromString(await stream.read())

    return stream, reflect


def test_reflection_lists_the_services_and_describes_each() -> None:
    async def test(ask: Asking) -> None:
        stream, reflect = reflecting(ask)
        listed = (await reflect(list_services="")).list_services_response.service
        services = [service.name for service in listed]
        assert services == ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", messages.SERVICE]
        for name in services:
            [file] = (await reflect(file_containing_symbol=name)).file_descriptor_response.file_descriptor_proto
            described = FileDescriptorProto.FromString(file)
            assert name in {f"{described.package}.{service.name}" for service in described.service}
        assert (await reflect(file_containing_symbol="other.Service")).error_response.error_code == 5
        await stream.write(b"\xff")
        refused = ServerReflectionResponse.FromString(await stream.read())
        assert refused.error_response.error_code == 3, "what is no request is refused, and the stream goes on"
        assert (await reflect(list_services="")).list_services_response.service
        await stream.done_writing()
        assert await stream.code() is Status.OK

    asking(test, iris())


def test_each_method_that_reflection_describes_is_there() -> None:
    async def test(ask: Asking) -> None:
        _, reflect = reflecting(ask)
        answer = await reflect(file_containing_symbol=messages.SERVICE)
        [service] = FileDescriptorProto.FromString(answer.file_descriptor_response.file_descriptor_proto[0]).service
        assert len(service.method) == 11
        calls = [ask.channel.unary_unary(f"/{messages.SERVICE}/{method.name}")(b"") for method in service.method]
        assert Status.UNIMPLEMENTED not in [await call.code() for call in calls]

    asking(test, iris())


def test_reflection_needs_a_key_where_the_calls_need_one() -> None:
    async def test(ask: Asking) -> None:
        stream, _ = reflecting(ask)
        assert await stream.code() is Status.UNAUTHENTICATED
        allowed = ask.channel.stream_stream(f"/{REFLECTION}")(metadata=(("x-api-key", "secret"),))
        await allowed.write(ServerReflectionRequest(list_services="").SerializeToString())
        assert await allowed.read()

    asking(test, iris(), settings=Settings(api_keys={"ann": "secret"}))


def test_open_reflections_are_bounded_and_take_no_slot_of_a_request() -> None:
    async def test(ask: Asking) -> None:
        streams = [reflecting(ask) for _ in range(20)]
        for _, reflect in streams:
            await reflect(list_services="")
        late, _ = reflecting(ask)
        assert await late.code() is Status.RESOURCE_EXHAUSTED
        assert await ask.infer(iris_request())

    asking(test, iris(), settings=Settings(max_concurrency=1, max_queue=1))


def test_a_client_of_reflection_that_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlpatterns.server.grpc.streams.LONGEST_SILENCE", 0.05)

    async def test(ask: Asking) -> None:
        stream, reflect = reflecting(ask)
        await reflect(list_services="")
        assert await stream.code() is Status.OK

    asking(test, iris())


@pytest.mark.parametrize("what", ["watch", "reflection"])
def test_no_stream_keeps_the_server_from_stopping(what: str) -> None:
    async def test(ask: Asking) -> None:
        if what == "watch":
            stream = ask.channel.unary_stream(f"/{HEALTH_SERVICE}/Watch")(b"")
            await stream.read()
        else:
            stream, reflect = reflecting(ask)
            await reflect(list_services="")
        ask.server.stop()
        await asyncio.wait_for(ask.server.stopped(), 5)
        assert await stream.code() is Status.OK

    asking(test, iris())
