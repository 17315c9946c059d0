"""User code never delays the server's own reading and writing: each has threads of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

from mlpatterns import PythonModel, TensorSpec, serve
from mlpatterns.metadata import Array
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, client

LARGE = [[0.123456789] * 20_000]  # some 200 kB as JSON, so it is read in a thread


def test_a_large_body_is_read_while_every_thread_of_user_code_is_taken() -> None:
    freed, began = threading.Event(), threading.Semaphore(0)

    def hold(_state: None, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        began.release()
        freed.wait(60)
        return {"y": inputs["x"]}

    given, made = (TensorSpec("x", "FP32", (-1, 1)),), (TensorSpec("y", "FP32", (-1, 1)),)
    app = serve(
        lambda: {
            "holding": PythonModel(lambda: None, hold, run_on="thread", inputs=given, outputs=made, name="holding"),
            "quick": CountingModel("quick"),
        },
        settings=Settings(threads=2, control="memory://"),
    )

    async def main() -> None:
        async with client(app) as http:
            holding = [asyncio.create_task(http.post("/models/holding/predict", json={"data": [[1.0]]}))
                       for _ in range(4)]  # fmt: skip
            try:
                for _ in range(2):
                    await asyncio.to_thread(began.acquire)
                async with asyncio.timeout(20):  # for ever, if it waited for a thread of user code
                    answer = await http.post("/models/quick/predict", json={"data": LARGE})
                assert answer.status_code == 200, answer.text
                assert not any(task.done() for task in holding)
            finally:
                freed.set()
            assert {(await task).status_code for task in holding} == {200}

    asyncio.run(main())
