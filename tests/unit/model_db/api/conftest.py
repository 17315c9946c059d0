"""The service in this process, over an SQLite file of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlpatterns.model_db.api.app import ModelDB
from mlpatterns.settings import Settings
from mlpatterns.testing import client

API = "/v0.1/api"
VERSION = {"sha256": "a" * 64, "manifest_sha256": "b" * 64, "artifact_url": "s3://elsewhere/shapes/one"}
TOKEN = {"x-admin-token": "command"}

Ask = Callable[[Callable[[httpx.AsyncClient], Awaitable[None]]], None]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Runs a question against a service that starts empty."""

    def run(question: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
        async def asked() -> None:
            async with client(ModelDB(Settings(home=tmp_path, admin_token="command"))) as http:
                await question(http)

        asyncio.run(asked())

    return run


async def post(http: httpx.AsyncClient, path: str, body: Any) -> Any:
    answer = await http.post(f"{API}{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def get(http: httpx.AsyncClient, path: str) -> Any:
    answer = await http.get(f"{API}{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def shapes(http: httpx.AsyncClient) -> dict[str, Any]:
    """A project with the model `shapes`."""
    project = await post(http, "/projects", {"project_name": "demo"})
    model: dict[str, Any] = await post(
        http, "/models", {"project_id": project["project_id"], "model_name": "shapes", "description": "円と四角"}
    )
    return model
