"""What RemoteModel promises over HTTP and over gRPC. A transport's test inherits the class and gives a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from mlpatterns.context import Context
from mlpatterns.errors import NotStarted, Unavailable
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.models.remote.remote import RemoteModel
from mlpatterns.predictor import InferenceRequest
from mlpatterns.runtime import running

__all__ = ["INPUTS", "METADATA", "RemoteContract", "asking"]

METADATA = ModelMetadata(
    "double",
    "3",
    "test",
    (TensorSpec("x", "FP32", (-1, 2), fields=("a", "b")), TensorSpec("note", "BYTES", (-1,), "text")),
    (TensorSpec("raw", "FP32", (-1, 2)), TensorSpec("y", "FP32", (-1, 2))),
    "y",
    labels=("low", "high"),
)
INPUTS = {"x": np.array([[1, 2], [3, 4]], np.float32), "note": np.array([b"\xff", b""], dtype=object)}


def asking(headers: dict[str, str] | None = None, **more: Any) -> InferenceRequest:
    return InferenceRequest(more.pop("inputs", INPUTS), Context("prediction-1", headers or {}), **more)


class RemoteContract:
    """Inherit it and give `peer`: a server that doubles `x`, with `listening`, `port`, `identity`, `described` and
    `parameters`."""

    def peer(self) -> Any:
        raise NotImplementedError("a transport's test gives a server")

    def run(self, test: Callable[[Any, RemoteModel], Awaitable[None]]) -> None:
        """With a server and a started RemoteModel of it."""

        async def main() -> None:
            peer = self.peer()
            async with peer.listening() as url:
                remote = RemoteModel(url, "double")
                async with running(remote):
                    await test(peer, remote)

        asyncio.run(main())

    def test_it_answers_what_the_server_answers(self) -> None:
        async def test(peer: Any, remote: RemoteModel) -> None:
            response = await remote.predict(asking(id="7", parameters={"k": 1}))
            assert list(response.outputs) == ["raw", "y"]
            np.testing.assert_array_equal(response.outputs["y"], INPUTS["x"] * 2)
            assert (response.model_name, response.model_version, response.identity) == ("double", "3", "digest-1")
            assert (response.parameters, response.status, response.degraded) == ({}, "done", False)
            assert peer.parameters == {"k": 1}

        self.run(test)

    def test_its_metadata_and_identity_are_the_servers_own(self) -> None:
        async def test(peer: Any, remote: RemoteModel) -> None:
            assert remote.metadata == METADATA
            assert (remote.identity(), peer.described) == ("digest-1", 1)

        self.run(test)

    def test_only_the_outputs_asked_for_come_back_in_the_order_asked(self) -> None:
        async def test(peer: Any, remote: RemoteModel) -> None:
            assert list((await remote.predict(asking(outputs=("y", "raw")))).outputs) == ["y", "raw"]
            assert list((await remote.predict(asking(outputs=("y",)))).outputs) == ["y"]

        self.run(test)

    def test_an_answer_of_another_model_ends_the_old_identity_and_fetches_the_new(self) -> None:
        async def test(peer: Any, remote: RemoteModel) -> None:
            peer.identity = "digest-2"
            assert (await remote.predict(asking())).identity == "digest-2"
            assert remote.identity() is None
            async with asyncio.timeout(20):
                while remote.identity() != "digest-2":
                    await asyncio.sleep(0.005)

        self.run(test)

    def test_a_server_that_is_down_at_start_is_found_when_it_comes_up(self) -> None:
        async def main() -> None:
            peer = self.peer()
            async with peer.listening() as url:
                pass
            remote = RemoteModel(url, "double")
            async with running(remote):
                with pytest.raises(NotStarted):
                    _ = remote.metadata
                with pytest.raises(Unavailable, match="has not answered yet"):
                    await remote.predict(asking())
                assert remote.identity() is None
                async with peer.listening(peer.port):
                    async with asyncio.timeout(20):
                        while remote.identity() is None:
                            await asyncio.sleep(0.01)
                    assert (await remote.predict(asking())).model_name == "double"
                with pytest.raises(Unavailable, match="cannot be reached") as caught:
                    await remote.predict(asking())
                assert "127.0.0.1" not in str(caught.value)

        asyncio.run(main())

    def test_before_start_and_after_stop_it_has_no_metadata_and_does_not_predict(self) -> None:
        async def test(peer: Any, remote: RemoteModel) -> None:
            await remote.stop()
            with pytest.raises(NotStarted):
                _ = remote.metadata
            with pytest.raises(Unavailable):
                await remote.predict(asking())

        self.run(test)
