"""RemoteModel over gRPC against a tiny server of the protocol: what test_remote promises over HTTP."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from certificates import self_signed
from mlpatterns.errors import (
    CircuitOpen,
    Conflict,
    DeadlineExceeded,
    Denied,
    InternalError,
    InvalidInput,
    NotFound,
    Overloaded,
    PredictionError,
    RateLimited,
    TooLarge,
    Unavailable,
    Unsupported,
)
from mlpatterns.models.remote.remote import RemoteModel
from mlpatterns.oip.grpc_codec import decode_request, encode_response
from mlpatterns.oip.grpc_description import encode_metadata
from mlpatterns.oip.grpc_messages import SERVICE, ModelInferRequest, ModelMetadataRequest
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.oip.status import PUSHBACK
from mlpatterns.predictor import InferenceResponse
from mlpatterns.runtime import running
from mlpatterns.user_errors import CompositionError
from unit.models.remote_contract import INPUTS, METADATA, RemoteContract, asking

Status = grpc.StatusCode
Infer = Callable[[bytes, Any], Awaitable[bytes]]


class Peer(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """A server that doubles `x`. `infer` may be replaced by a test; what came in is kept."""

    def __init__(self, infer: Infer | None = None) -> None:
        self.infer: Infer = infer or self.double
        self.identity: str | None = "digest-1"
        self.described = self.port = 0
        self.metadata: list[dict[str, Any]] = []
        self.remaining: list[float] = []
        self.parameters: dict[str, Any] = {}
        self.cancelled = asyncio.Event()
        self.plain = False  # as another server: without what only ours says

    def service(self, details: Any) -> Any:
        handler = {f"/{SERVICE}/ModelMetadata": self.describe, f"/{SERVICE}/ModelInfer": self.take}[details.method]
        return grpc.unary_unary_rpc_method_handler(handler)

    async def describe(self, body: bytes, rpc: Any) -> bytes:
        self.described += 1
        assert ModelMetadataRequest.FromString(body).name == "double"
        message = encode_metadata(METADATA, self.identity)
        if self.plain:
            message.ClearField("rest")
        answer: bytes = message.SerializeToString()
        return answer

    async def take(self, body: bytes, rpc: Any) -> bytes:
        self.metadata.append(dict(rpc.invocation_metadata()))
        self.remaining.append(rpc.time_remaining())
        return await self.infer(body, rpc)

    async def double(self, body: bytes, rpc: Any) -> bytes:
        asked = decode_request(ModelInferRequest.FromString(body), METADATA, RequestLimits())
        self.parameters = dict(asked.parameters)
        outputs = {"raw": asked.inputs["x"], "y": asked.inputs["x"] * 2}
        return encode_response(InferenceResponse(outputs, "double", "3", self.identity), asked.id, asked.outputs)

    async def hang(self, body: bytes, rpc: Any) -> bytes:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return b""

    @asynccontextmanager
    async def listening(self, port: int = 0, credentials: Any = None) -> AsyncIterator[str]:
        options = [("grpc.max_receive_message_length", -1)]
        server = grpc.aio.server(handlers=(self,), options=options)
        address = f"127.0.0.1:{port}"
        self.port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        await server.start()
        try:
            yield f"{'grpcs' if credentials else 'grpc'}://127.0.0.1:{self.port}"
        finally:
            await server.stop(None)


def with_peer(test: Callable[[Peer, RemoteModel], Awaitable[None]], infer: Infer | None = None, **options: Any) -> None:
    """Runs `test` with a server and a started RemoteModel of it."""

    async def main() -> None:
        peer = Peer(infer)
        peer.plain = options.pop("plain", False)
        async with peer.listening() as url:
            remote = RemoteModel(url, "double", **options)
            async with running(remote):
                await asyncio.wait_for(test(peer, remote), 30)

    asyncio.run(main())


def refused_with(infer: Infer, kind: type[PredictionError], **options: Any) -> PredictionError:
    """The error that predict raises when the server does `infer`."""
    errors: list[PredictionError] = []

    async def test(peer: Peer, remote: RemoteModel) -> None:
        with pytest.raises(kind) as caught:
            await remote.predict(asking())
        errors.append(caught.value)

    with_peer(test, infer, **options)
    assert type(errors[0]) is kind
    return errors[0]


def aborting(status: Any, text: str, metadata: Any = (("x-any", "1"),)) -> Infer:
    async def infer(body: bytes, rpc: Any) -> bytes:
        await rpc.abort(status, text, metadata)
        raise AssertionError

    return infer


def answering(body: bytes) -> Infer:
    async def infer(_: bytes, rpc: Any) -> bytes:
        return body

    return infer


class TestOverGrpc(RemoteContract):
    def peer(self) -> Peer:
        return Peer()


# ---- the way there and back --------------------------------------------------------------------------------------


def test_another_server_says_what_the_protocol_has_words_for() -> None:
    async def test(peer: Peer, remote: RemoteModel) -> None:
        assert [(spec.name, spec.datatype, spec.shape) for spec in remote.metadata.inputs] == [
            ("x", "FP32", (-1, 2)),
            ("note", "BYTES", (-1,)),
        ]
        assert (remote.metadata.version, remote.metadata.labels, remote.identity()) == ("3", (), None)
        np.testing.assert_array_equal((await remote.predict(asking())).outputs["y"], INPUTS["x"] * 2)

    with_peer(test, plain=True)


def test_a_message_of_megabytes_goes_through() -> None:
    async def test(peer: Peer, remote: RemoteModel) -> None:
        rows = 600_000
        inputs = {"x": np.ones((rows, 2), np.float32), "note": np.full(rows, b"", dtype=object)}
        assert (await remote.predict(asking(inputs=inputs))).outputs["y"].shape == (rows, 2)

    with_peer(test)


def test_a_degraded_or_accepted_answer_says_so_here_too() -> None:
    response = InferenceResponse({"y": np.zeros(1)}, "m", "1", None, {"job": "j"}, "accepted", degraded=True)

    async def test(peer: Peer, remote: RemoteModel) -> None:
        found = await remote.predict(asking())
        assert (found.status, found.degraded, found.parameters) == ("accepted", True, {"job": "j"})

    with_peer(test, answering(encode_response(response)))


def test_inputs_that_the_model_does_not_take_are_refused_before_they_are_sent() -> None:
    async def test(peer: Peer, remote: RemoteModel) -> None:
        with pytest.raises(InvalidInput, match="'x' has shape"):
            await remote.predict(asking(inputs={**INPUTS, "x": np.ones((1, 3), np.float32)}))
        with pytest.raises(InvalidInput, match="the parameters cannot be sent"):
            await remote.predict(asking(parameters={"k": object()}))
        assert peer.metadata == []

    with_peer(test)


# ---- headers and time --------------------------------------------------------------------------------------------


def test_all_headers_that_metadata_can_be_are_forwarded_but_for_credentials() -> None:
    async def test(peer: Peer, remote: RemoteModel) -> None:
        given = {"x-request-id": "r", "traceparent": "t", "authorization": "Bearer s", "user-id": "u"}
        await remote.predict(asking(given))
        await remote.predict(asking({"traceparent": "a\r\nx-evil: 1", "tracestate": "é"}))
        first, second = ({name: sent.get(name) for name in ("x-request-id", *given)} for sent in peer.metadata)
        assert first == {"x-request-id": "r", "traceparent": "t", "authorization": None, "user-id": "u"}
        assert second == {"x-request-id": "prediction-1", "traceparent": None, "authorization": None, "user-id": None}
        assert "tracestate" not in peer.metadata[1]

    with_peer(test)


def test_a_header_of_grpcs_own_is_refused_at_construction() -> None:
    with pytest.raises(CompositionError, match="'grpc-timeout' cannot be forwarded"):
        RemoteModel("grpc://h:1", "m", headers=["grpc-timeout"])


def test_the_time_that_remains_is_the_calls_deadline() -> None:
    async def main() -> None:
        peer = Peer()
        async with peer.listening() as url:
            remote = RemoteModel(url, "double")
            async with running(remote) as runtime:
                await remote.predict(asking(deadline=runtime.clock.monotonic() + 5))
        assert 4 < peer.remaining[0] < 5.5  # grpc rounds what it sends

    asyncio.run(main())


@pytest.mark.parametrize("leaving", ["deadline", "cancel"])
def test_a_deadline_or_a_cancellation_ends_the_work_on_the_server(leaving: str) -> None:
    async def main() -> None:
        peer = Peer()
        peer.infer = peer.hang
        async with peer.listening() as url:
            remote = RemoteModel(url, "double")
            async with running(remote) as runtime:
                deadline = runtime.clock.monotonic() + 0.1 if leaving == "deadline" else None
                task = asyncio.create_task(remote.predict(asking(deadline=deadline)))
                while not peer.metadata:
                    await asyncio.sleep(0.005)
                if leaving == "cancel":
                    task.cancel()
                with pytest.raises(DeadlineExceeded if leaving == "deadline" else asyncio.CancelledError):
                    await task
                await asyncio.wait_for(peer.cancelled.wait(), 5)
                with pytest.raises(DeadlineExceeded):
                    await remote.predict(asking(deadline=runtime.clock.monotonic() - 1))
                assert len(peer.metadata) == 1

    asyncio.run(main())


# ---- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [(Status.INVALID_ARGUMENT, InvalidInput), (Status.UNAUTHENTICATED, Denied), (Status.NOT_FOUND, NotFound),
     (Status.RESOURCE_EXHAUSTED, TooLarge), (Status.ABORTED, Conflict), (Status.UNIMPLEMENTED, Unsupported),
     (Status.INTERNAL, InternalError), (Status.UNAVAILABLE, Unavailable), (Status.DEADLINE_EXCEEDED, DeadlineExceeded),
     (Status.UNKNOWN, InternalError)],
)  # fmt: skip
def test_an_error_keeps_its_code_and_its_sentence(status: Any, kind: type[PredictionError]) -> None:
    assert refused_with(aborting(status, "because of ü"), kind).message == "because of ü"


def test_a_pushback_is_kept() -> None:
    error = refused_with(aborting(Status.RESOURCE_EXHAUSTED, "slower", ((PUSHBACK, "7000"),)), RateLimited)
    assert error.retry_after == 7.0


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
    refused_with(aborting(Status.UNAVAILABLE, "no", (("x-mlp-code", said),)), kind)


def test_an_error_without_a_sentence_gets_one_and_a_long_one_is_cut() -> None:
    assert refused_with(aborting(Status.INTERNAL, ""), InternalError).message == (
        "the remote model 'double' answered gRPC INTERNAL"
    )
    assert len(refused_with(aborting(Status.INTERNAL, "x" * 5000), InternalError).message) == 500


def test_what_grpc_says_of_a_lost_connection_is_not_passed_on() -> None:
    error = refused_with(aborting(Status.UNAVAILABLE, "ipv4:10.0.0.7:80 failed", ()), Unavailable)
    assert error.message == "the remote model 'double' cannot be reached"


@pytest.mark.parametrize(
    "body", [b"\xff\xff", encode_response(InferenceResponse({"y": np.zeros(3, np.float32)}, "m", "1"))[:-5]]
)
def test_a_malformed_answer_is_an_internal_error(body: bytes) -> None:
    refused_with(answering(body), InternalError)


def test_an_answer_without_an_output_asked_for_is_an_internal_error() -> None:
    async def test(peer: Peer, remote: RemoteModel) -> None:
        with pytest.raises(InternalError, match="did not give the output 'y'"):
            await remote.predict(asking(outputs=("y",)))

    with_peer(test, answering(encode_response(InferenceResponse({}, "m", "1"))))


def test_an_answer_too_large_is_not_read() -> None:
    error = refused_with(answering(bytes(5000)), InternalError, max_bytes=2000)
    assert "larger than the 2000 bytes" in error.message


# ---- lifecycle and names -----------------------------------------------------------------------------------------


def test_stopping_while_calls_are_under_way_ends_them() -> None:
    async def main() -> None:
        peer = Peer()
        peer.infer = peer.hang
        async with peer.listening() as url:
            remote = RemoteModel(url, "double")
            async with running(remote):
                task = asyncio.create_task(remote.predict(asking()))
                while not peer.metadata:
                    await asyncio.sleep(0.005)
            with pytest.raises((Unavailable, asyncio.CancelledError)):
                await task

    asyncio.run(main())


ASKS = """
import asyncio, sys
from mlpatterns.errors import Unavailable
from mlpatterns.models.remote.remote import RemoteModel
from mlpatterns.runtime import running
from unit.models.remote_contract import asking

async def main(url):
    remote = RemoteModel(url, "double")
    async with running(remote):
        try:
            return (await remote.predict(asking())).model_name
        except Unavailable:
            return "unavailable"

print(asyncio.run(main(sys.argv[1])))
"""


TRUST = ("SSL_CERT_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")


@pytest.mark.parametrize("trusted_by", [*TRUST, None])
def test_over_tls_it_asks_only_whom_this_machine_trusts(tmp_path: Path, trusted_by: str | None) -> None:
    """In a process of its own, since whom it trusts stands in the environment."""
    certificate, key = self_signed(tmp_path)

    async def main() -> str:
        peer = Peer()
        pair = ((key.read_bytes(), certificate.read_bytes()),)
        async with peer.listening(credentials=grpc.ssl_server_credentials(pair)) as url:
            assert url.startswith("grpcs://")
            environ = {name: value for name, value in os.environ.items() if name not in TRUST}
            if trusted_by:
                environ[trusted_by] = str(certificate)
            asks = await asyncio.create_subprocess_exec(
                sys.executable, "-c", ASKS, url,
                cwd=Path(__file__).parents[2], env=environ, stdout=subprocess.PIPE,
            )  # fmt: skip
            said, _ = await asks.communicate()
            assert len(peer.metadata) == (1 if trusted_by else 0)
            return said.decode().strip()

    assert asyncio.run(main()) == ("double" if trusted_by else "unavailable")


@pytest.mark.parametrize("url", ["grpc://h:1", "grpcs://[::1]:50051"])
def test_a_model_is_named_beside_the_url(url: str) -> None:
    remote = RemoteModel(f"{url}/", "m", name="n")
    assert (remote.url, remote.model, remote.name) == (url, "m", "n")


@pytest.mark.parametrize(
    ("url", "model"),
    [("grpc://h", "m"), ("grpc://h:1", None), ("grpc://h:1/path", "m"), ("grpc://user:pass@h:1", "m"),
     ("grpc://h:99999", "m"), ("grpc://", "m"), ("grpc://h:1?x=1", "m")],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_refused_without_showing_its_password(url: str, model: str | None) -> None:
    with pytest.raises(CompositionError) as caught:
        RemoteModel(url, model)
    assert "pass@" not in str(caught.value)
