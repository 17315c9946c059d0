"""RemoteModel against a tiny server of the protocol on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from mlpatterns.errors import (
    CircuitOpen,
    DeadlineExceeded,
    Denied,
    InternalError,
    InvalidInput,
    NotFound,
    NotStarted,
    Overloaded,
    PredictionError,
    RateLimited,
    TooLarge,
    Unavailable,
)
from mlpatterns.models.remote.remote import RemoteModel
from mlpatterns.oip.codec import JSON_LENGTH_HEADER, decode_request, encode_response
from mlpatterns.oip.description import encode_metadata
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.predictor import InferenceResponse
from mlpatterns.runtime import running
from mlpatterns.user_errors import CompositionError
from unit.models.remote_contract import INPUTS, METADATA, RemoteContract, asking

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Peer:
    """A server that doubles `x`. `infer` may be replaced by a test; what came in is kept."""

    def __init__(self, infer: Handler | None = None) -> None:
        self.infer: Handler = infer or self.double
        self.identity: str | None = "digest-1"
        self.seen: list[web.Request] = []
        self.described = 0
        self.cancelled = asyncio.Event()
        self.parameters: dict[str, Any] = {}
        self.port = 0

    async def describe(self, request: web.Request) -> web.Response:
        self.described += 1
        return web.Response(body=encode_metadata(METADATA, self.identity))

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        return await self.infer(request)

    async def double(self, request: web.Request) -> web.Response:
        asked = decode_request(
            await request.read(), int(request.headers[JSON_LENGTH_HEADER]), METADATA, RequestLimits()
        )
        self.parameters = dict(asked.parameters)
        outputs = {"raw": asked.inputs["x"], "y": asked.inputs["x"] * 2}
        response = InferenceResponse(outputs, "double", "3", self.identity)
        body, length = encode_response(response, asked.id, asked.binary, asked.outputs)
        return web.Response(body=body, headers={JSON_LENGTH_HEADER: str(length)})

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[str]:
        app = web.Application(client_max_size=2**24)
        app.router.add_get("/some/prefix/v2/models/double", self.describe)
        app.router.add_post("/some/prefix/v2/models/double/infer", self.take)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            self.port = runner.addresses[0][1]
            yield f"http://127.0.0.1:{self.port}/some/prefix"
        finally:
            await runner.cleanup()


def with_peer(
    test: Callable[[Peer, RemoteModel], Awaitable[None]], infer: Handler | None = None, **options: Any
) -> None:
    """Runs `test` with a server and a started RemoteModel of it."""

    async def main() -> None:
        peer = Peer(infer)
        async with peer.listening() as url:
            remote = RemoteModel(url, "double", **options)
            async with running(remote):
                await test(peer, remote)

    asyncio.run(main())


def refused_with(answer: Callable[[], web.Response], kind: type[PredictionError], **options: Any) -> PredictionError:
    """The error that predict raises when the server gives `answer`."""
    errors: list[PredictionError] = []

    async def infer(request: web.Request) -> web.Response:
        await request.read()
        return answer()

    async def test(peer: Peer, remote: RemoteModel) -> None:
        with pytest.raises(kind) as caught:
            await remote.predict(asking())
        errors.append(caught.value)

    with_peer(test, infer, **options)
    assert type(errors[0]) is kind
    return errors[0]


class TestOverHttp(RemoteContract):
    def peer(self) -> Peer:
        return Peer()


# ---- the way there and back --------------------------------------------------------------------------------------


def test_a_body_of_megabytes_goes_through() -> None:
    async def test(peer: Peer, remote: RemoteModel) -> None:
        rows = 200_000
        inputs = {"x": np.ones((rows, 2), np.float32), "note": np.full(rows, b"", dtype=object)}
        response = await remote.predict(asking(inputs=inputs))
        assert response.outputs["y"].shape == (rows, 2)

    with_peer(test)


def test_a_degraded_or_accepted_answer_says_so_here_too() -> None:
    async def infer(request: web.Request) -> web.Response:
        await request.read()
        outputs = {"y": np.zeros(1)}
        response = InferenceResponse(outputs, "m", "1", None, {"job": "j"}, "accepted", degraded=True)
        return web.Response(body=encode_response(response)[0])

    async def test(peer: Peer, remote: RemoteModel) -> None:
        response = await remote.predict(asking(outputs=("raw",)))  # of a job that waits only its id comes
        assert (response.status, response.degraded, response.parameters) == ("accepted", True, {"job": "j"})
        assert response.identity is None

    with_peer(test, infer)


def test_inputs_that_the_model_does_not_take_are_refused_before_they_are_sent() -> None:
    async def test(peer: Peer, remote: RemoteModel) -> None:
        with pytest.raises(InvalidInput, match="'x' has shape"):
            await remote.predict(asking(inputs={**INPUTS, "x": np.ones((1, 3), np.float32)}))
        with pytest.raises(InvalidInput, match="'x' has datatype 'FP64'"):
            await remote.predict(asking(inputs={**INPUTS, "x": np.ones((1, 2))}))
        with pytest.raises(InvalidInput, match="missing input 'note'"):
            await remote.predict(asking(inputs={"x": INPUTS["x"]}))
        assert peer.seen == []

    with_peer(test)


# ---- headers -----------------------------------------------------------------------------------------------------


def test_all_headers_of_the_caller_are_forwarded_but_for_credentials_and_those_of_the_connection() -> None:
    async def test(peer: Peer, remote: RemoteModel) -> None:
        given = {"x-request-id": "r", "cache-control": "no-cache", "user-id": "u", "x-tenant": "t"}
        kept = {"authorization": "Bearer s", "cookie": "c", "x-admin-token": "a", "te": "trailers", "host": "evil",
                "x-mlp-context": '{"purpose": "probe"}'}  # fmt: skip
        await remote.predict(asking(given | kept))
        sent = peer.seen[0].headers
        assert {name: sent[name] for name in given} == given
        assert not {"authorization", "cookie", "x-admin-token", "te"} & {name.lower() for name in sent}
        assert sent["host"].startswith("127.0.0.1")
        assert sent["x-mlp-context"] == "{}"
        assert sent["accept-encoding"] == "identity"

    with_peer(test)


def test_a_header_in_utf_8_arrives_as_the_same_bytes_and_what_is_no_utf_8_is_left_away() -> None:
    async def test(peer: Peer, remote: RemoteModel) -> None:
        came = "日本".encode().decode("latin-1")  # as a server hands on what it got
        await remote.predict(asking({"user-id": came, "target": "\xff"}))
        headers = {name.lower(): value for name, value in peer.seen[0].raw_headers}
        assert headers[b"user-id"] == "日本".encode()
        assert b"target" not in headers

    with_peer(test)


def test_the_prediction_id_is_the_request_id_if_there_is_none() -> None:
    async def test(peer: Peer, remote: RemoteModel) -> None:
        await remote.predict(asking({"user-id": "u", "traceparent": "t"}))
        assert peer.seen[0].headers["x-request-id"] == "prediction-1"
        assert peer.seen[0].headers["user-id"] == "u"
        assert "traceparent" not in peer.seen[0].headers

    with_peer(test, headers=["User-Id"])


def test_a_value_with_a_line_break_is_not_forwarded() -> None:
    async def test(peer: Peer, remote: RemoteModel) -> None:
        await remote.predict(asking({"traceparent": "a\r\nx-evil: 1"}))
        assert "traceparent" not in peer.seen[0].headers
        assert "x-evil" not in peer.seen[0].headers

    with_peer(test)


@pytest.mark.parametrize(
    "name",
    ["Authorization", "proxy-authorization", "Cookie", "x-api-key", "apikey", "x-auth-token", "host", "content-length",
     "x-request-timeout-ms", "bad name", ""],
)  # fmt: skip
def test_a_header_that_must_not_be_forwarded_is_refused_at_construction(name: str) -> None:
    with pytest.raises(CompositionError, match="header"):
        RemoteModel("http://h", "m", headers=[name])


# ---- time --------------------------------------------------------------------------------------------------------


def test_the_time_that_remains_is_sent() -> None:
    async def main() -> None:
        peer = Peer()
        async with peer.listening() as url:
            remote = RemoteModel(url, "double")
            async with running(remote) as runtime:
                await remote.predict(asking(deadline=runtime.clock.monotonic() + 5))
        assert 4000 < int(peer.seen[0].headers["x-request-timeout-ms"]) <= 5000

    asyncio.run(main())


def test_the_deadline_holds_even_if_the_server_ignores_it() -> None:
    async def main() -> None:
        async def hang(request: web.Request) -> web.Response:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                peer.cancelled.set()
                raise
            return web.Response()

        peer = Peer(hang)
        async with peer.listening() as url:
            remote = RemoteModel(url, "double")
            async with running(remote) as runtime:
                with pytest.raises(DeadlineExceeded):
                    await remote.predict(asking(deadline=runtime.clock.monotonic() + 0.05))
                await asyncio.wait_for(peer.cancelled.wait(), 5)
                with pytest.raises(DeadlineExceeded):
                    await remote.predict(asking(deadline=runtime.clock.monotonic() - 1))
                assert len(peer.seen) == 1

    asyncio.run(main())


def test_cancelling_a_prediction_cancels_the_request() -> None:
    async def main() -> None:
        arrived = asyncio.Event()

        async def hang(request: web.Request) -> web.Response:
            arrived.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                peer.cancelled.set()
                raise
            return web.Response()

        peer = Peer(hang)
        async with peer.listening() as url:
            remote = RemoteModel(url, "double")
            async with running(remote):
                task = asyncio.create_task(remote.predict(asking()))
                await asyncio.wait_for(arrived.wait(), 5)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await asyncio.wait_for(peer.cancelled.wait(), 5)

    asyncio.run(main())


# ---- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidInput), (401, Denied), (404, NotFound), (413, TooLarge), (429, RateLimited), (500, InternalError),
     (503, Unavailable), (504, DeadlineExceeded)],
)  # fmt: skip
def test_an_error_keeps_its_code_and_its_sentence(status: int, kind: type[PredictionError]) -> None:
    error = refused_with(lambda: web.json_response({"error": "because"}, status=status), kind)
    assert error.message == "because"


def test_retry_after_is_kept() -> None:
    def answer() -> web.Response:
        return web.json_response({"error": "full"}, status=503, headers={"Retry-After": "7"})

    assert refused_with(answer, Unavailable).retry_after == 7.0


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("OVERLOADED", Overloaded),
        ("RATE_LIMITED", RateLimited),
        ("CIRCUIT_OPEN", CircuitOpen),
        ("NONSENSE", Unavailable),
    ],
)
def test_the_code_that_mlpatterns_says_counts_more_than_the_status(said: str, kind: type[PredictionError]) -> None:
    refused_with(lambda: web.json_response({"error": "no"}, status=503, headers={"x-mlp-code": said}), kind)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"error": 5}', b"\xff", b"[" * 5000])
def test_an_error_without_a_sentence_gets_one(body: bytes) -> None:
    assert (
        "'double' answered HTTP 502" in refused_with(lambda: web.Response(body=body, status=502), Unavailable).message
    )


def test_a_redirect_is_not_followed() -> None:
    headers = {"Location": "http://127.0.0.1:9/elsewhere"}
    assert "HTTP 307" in refused_with(lambda: web.Response(status=307, headers=headers), InternalError).message


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"<html>", {}),
        (b"", {}),
        (b'{"model_name": "m", "outputs": [{"name": "y", "shape": [2], "datatype": "FP32", "data": [1]}]}', {}),
        (b'{"model_name": "m", "outputs": []}', {JSON_LENGTH_HEADER: "99"}),
        (b'{"model_name": "m", "outputs": []}', {JSON_LENGTH_HEADER: "-1"}),
        (b'{"model_name": "m", "outputs": []}x', {JSON_LENGTH_HEADER: "34"}),
    ],
)
def test_a_malformed_answer_is_an_internal_error(body: bytes, headers: dict[str, str]) -> None:
    refused_with(lambda: web.Response(body=body, headers=headers), InternalError)


def test_an_answer_without_an_output_asked_for_is_an_internal_error() -> None:
    async def infer(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"model_name": "m", "outputs": []})

    async def test(peer: Peer, remote: RemoteModel) -> None:
        with pytest.raises(InternalError, match="did not give the output 'y'"):
            await remote.predict(asking(outputs=("y",)))

    with_peer(test, infer)


def test_an_answer_too_large_is_not_read() -> None:
    error = refused_with(lambda: web.Response(body=b" " * 5000), InternalError, max_bytes=2000)
    assert "larger than the 2000 bytes" in error.message


def test_an_answer_too_large_without_a_length_is_cut_off() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        await request.read()
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b" " * 1000)
        except ConnectionError:
            return answer

    async def test(peer: Peer, remote: RemoteModel) -> None:
        with pytest.raises(InternalError, match="larger than"):
            await remote.predict(asking())

    with_peer(test, endless, max_bytes=2000)


def test_a_compressed_answer_is_refused_since_none_was_asked_for() -> None:
    error = refused_with(lambda: web.Response(body=b"x", headers={"Content-Encoding": "gzip"}), InternalError)
    assert "encoding" in error.message


def test_a_connection_that_breaks_is_unavailable() -> None:
    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        await asyncio.sleep(1)
        return web.Response()

    async def test(peer: Peer, remote: RemoteModel) -> None:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await remote.predict(asking())

    with_peer(test, cut)


# ---- lifecycle ---------------------------------------------------------------------------------------------------


def test_one_that_was_never_started_has_no_metadata() -> None:
    with pytest.raises(NotStarted):
        _ = RemoteModel("http://h", "m").metadata


def test_it_starts_again_on_a_new_loop() -> None:
    remotes: list[RemoteModel] = []

    async def main() -> None:
        peer = Peer()
        async with peer.listening() as url:
            remote = remotes[0] if remotes else RemoteModel(url, "double")
            remote.url = f"{url}/v2/models/double"
            remotes.append(remote)
            async with running(remote):
                assert (await remote.predict(asking())).model_name == "double"

    asyncio.run(main())
    asyncio.run(main())


def test_stopping_while_the_server_is_down_ends_the_asking() -> None:
    async def main() -> None:
        remote = RemoteModel("http://127.0.0.1:9", "m")
        async with running(remote):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


# ---- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "model", "name", "wanted", "called"),
    [
        ("http://h:8000", "m", None, "http://h:8000/v2/models/m", "m"),
        ("http://h:8000/", "m", "n", "http://h:8000/v2/models/m", "n"),
        ("http://h/p/v2", None, "n", "http://h/p/v2/models/n", "n"),
        ("https://h/p/v2/models/m", None, None, "https://h/p/v2/models/m", "m"),
        ("http://h/v2/models/m/versions/2", "m", None, "http://h/v2/models/m/versions/2", "m"),
        ("http://[::1]:80", "../a b", None, "http://[::1]:80/v2/models/..%2Fa%20b", "../a b"),
    ],
)
def test_a_model_is_found_by_base_or_by_its_whole_url(
    url: str, model: str | None, name: str | None, wanted: str, called: str
) -> None:
    remote = RemoteModel(url, model, name=name)
    assert (remote.url, remote.name) == (wanted, called)


@pytest.mark.parametrize(
    ("url", "model"),
    [("h:8000", "m"), ("ftp://h", "m"), ("http://", "m"), ("http://h:99999", "m"), ("http://h", None),
     ("http://user:pass@h", "m"), ("http://h?x=1", "m"), ("http://h/v2/models/a", "b")],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_refused_without_showing_its_password(url: str, model: str | None) -> None:
    with pytest.raises(CompositionError) as caught:
        RemoteModel(url, model)
    assert "pass" not in str(caught.value)


# ---- check ----


def test_a_check_follows_the_server_down_and_up_again_while_the_metadata_stays() -> None:
    async def main() -> None:
        peer = Peer()
        async with AsyncExitStack() as up:
            remote = RemoteModel(await up.enter_async_context(peer.listening()), "double")
            assert "is not started" in (await remote.check()).reason
            async with running(remote):
                assert (await remote.check()).ready
                await up.aclose()
                found = await remote.check()
                assert not found.ready
                assert "cannot be reached" in found.reason
                assert remote.metadata.version == "3"
                assert remote.health().ready, "what is known without asking"
                async with peer.listening(peer.port):
                    assert (await remote.check()).ready

    asyncio.run(main())
