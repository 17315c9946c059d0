"""The registry, and images.

What trains and registers models, the service that tells of them, and what puts a server and its models in an image.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import uvicorn

from mlpatterns import ModelDB, RegistryClient, train
from mlpatterns.testing import client, free_port

NAMES = ("train", "RegistryClient", "ModelDB")


def train_example() -> None:
    trained = train("iris_sklearn_svc", home=Path("another"), options={"test_size": 0.2, "seed": 1})
    assert (trained.version, trained.champion) == (1, True)


async def registry_client_example() -> None:
    def champion(url: str) -> int:
        with RegistryClient(url) as registry:
            return registry.alias("iris_sklearn_svc", "champion").number

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(ModelDB(), port=port, log_level="error"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    assert await asyncio.to_thread(champion, f"http://127.0.0.1:{port}") == 1  # it blocks
    server.should_exit = True
    await serving


async def model_db_example() -> None:
    async with client(ModelDB()) as http:
        answer = await http.get("/v0.1/api/models/name/iris_sklearn_svc")
    assert answer.json()["model_name"] == "iris_sklearn_svc"
