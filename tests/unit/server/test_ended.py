"""Behind a cancellation is a passed deadline or a client that left: a piece can tell which, on every face."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import grpc
import pytest

from mlpatterns import FanOut, Limit, Pipeline
from mlpatterns.base import CLIENT_LEFT, Wrapper, ended
from mlpatterns.errors import ErrorCode
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor, Runtime
from mlpatterns.testing import CountingModel, SlowModel
from unit.server.elsewhere import served_elsewhere
from unit.server.grpc.asking import iris_request

INFER = "/inference.GRPCInferenceService/ModelInfer"


class Recording(Wrapper):
    """Remembers how the work inside ended."""

    def __init__(self, inner: Predictor) -> None:
        super().__init__(inner)
        self.ends: list[str] = []
        self.ended = asyncio.Event()

    async def start(self, runtime: Runtime) -> None:
        self.clock = runtime.clock

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        try:
            return await self.inner.predict(request)
        except BaseException as error:
            self.ends.append(ended(error, request, self.clock))
            self.ended.set()
            raise


async def http_deadline(url: str, leaf: SlowModel) -> None:
    headers = {"x-request-timeout-ms": "100"}
    async with aiohttp.ClientSession() as session:
        answer = await session.post(f"{url}/predict", json={"data": [[1.0]]}, headers=headers)
        assert (answer.status, answer.headers["x-mlp-code"]) == (504, "DEADLINE")


async def http_leaves(url: str, leaf: SlowModel) -> None:
    async with aiohttp.ClientSession() as session:
        asking = asyncio.create_task(session.post(f"{url}/predict", json={"data": [[1.0]]}))
        while not leaf.running:
            await asyncio.sleep(0.005)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def grpc_deadline(url: str, leaf: SlowModel) -> None:
    async with grpc.aio.insecure_channel(url.removeprefix("grpc://")) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(INFER)(BODY, timeout=0.3, wait_for_ready=True)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def grpc_leaves(url: str, leaf: SlowModel) -> None:
    async with grpc.aio.insecure_channel(url.removeprefix("grpc://")) as channel:
        asking = channel.unary_unary(INFER)(BODY, timeout=60, wait_for_ready=True)
        while not leaf.running:
            await asyncio.sleep(0.005)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


BODY = iris_request([[1.0]], model="slow").SerializeToString()


@pytest.mark.parametrize("within", ["alone", "pieces"])
@pytest.mark.parametrize(
    ("scheme", "ask", "end"),
    [("http", http_deadline, ErrorCode.DEADLINE), ("http", http_leaves, CLIENT_LEFT),
     ("grpc", grpc_deadline, ErrorCode.DEADLINE), ("grpc", grpc_leaves, CLIENT_LEFT)],
    ids=["http-deadline", "http-leaves", "grpc-deadline", "grpc-leaves"],
)  # fmt: skip
def test_a_passed_deadline_is_told_from_a_client_that_left(
    scheme: str, ask: Callable[[str, SlowModel], Awaitable[None]], end: str, within: str
) -> None:
    leaf = SlowModel(seconds=60)
    inside = Recording(leaf)
    outside = inside
    if within == "pieces":
        parts = FanOut({"a": inside})
        outside = Recording(Pipeline(CountingModel("before"), Limit(parts, max_concurrency=2), name="slow"))

    async def main() -> None:
        async with served_elsewhere(scheme, lambda: outside) as (url, _):
            await asyncio.wait_for(ask(url, leaf), 20)
            await asyncio.wait_for(outside.ended.wait(), 5)
        assert (inside.ends, outside.ends) == ([end], [end])
        assert leaf.cancelled == 1

    asyncio.run(main())
