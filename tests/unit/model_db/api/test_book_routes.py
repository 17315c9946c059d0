"""The book's routes: its clients find what they wrote, by every path that they know."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from mlpatterns.model_db.api.app import ModelDB
from mlpatterns.testing import client
from unit.model_db.api.conftest import API, Ask, get, post, shapes


def test_a_project_is_made_once_and_found_by_id_and_name(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        made = await post(http, "/projects", {"project_name": "demo", "description": "first"})
        assert set(made) == {"project_id", "project_name", "description", "created_datetime"}
        assert datetime.fromisoformat(made["created_datetime"]).tzinfo is not None
        assert await post(http, "/projects", {"project_name": "demo"}) == made
        assert await get(http, f"/projects/id/{made['project_id']}") == made
        assert await get(http, "/projects/name/demo") == made
        assert await get(http, "/projects/all") == [made]

    ask(question)


def test_a_model_is_made_once_and_found_by_id_name_and_project(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        made = await shapes(http)
        project = made["project_id"]
        assert {"model_id", "project_id", "model_name", "description", "created_datetime"} <= set(made)
        assert await post(http, "/models", {"project_id": project, "model_name": "shapes"}) == made
        assert await get(http, f"/models/id/{made['model_id']}") == made
        assert await get(http, "/models/name/shapes") == made
        for path in ("/models/all", f"/models/project-id/{project}", "/models/project-name/demo"):
            assert await get(http, path) == [made]

    ask(question)


def test_an_experiment_is_found_by_all_it_belongs_to_and_what_is_added_to_it_adds_up(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        model = await shapes(http)
        body = {
            "model_id": model["model_id"], "model_version_id": "mine-1", "parameters": {"seed": 0},
            "training_dataset": "train.csv", "validation_dataset": "valid.csv", "test_dataset": "test.csv",
            "evaluations": {"loss": 0.5}, "artifact_file_paths": {"model": "m.onnx"},
        }  # fmt: skip
        made = await post(http, "/experiments", body)
        assert {name: made[name] for name in body} == body
        path = f"/experiments/evaluations/{made['experiment_id']}"
        assert (await post(http, path, {"evaluations": {"f1": 0.9}}))["evaluations"] == {"loss": 0.5, "f1": 0.9}
        path = f"/experiments/artifact-file-paths/{made['experiment_id']}"
        made = await post(http, path, {"artifact_file_paths": {"log": "l.txt"}})
        assert made["artifact_file_paths"] == {"model": "m.onnx", "log": "l.txt"}
        assert await get(http, f"/experiments/id/{made['experiment_id']}") == made
        for path in (
            "all", "model-version-id/mine-1", f"model-id/{model['model_id']}", f"project-id/{model['project_id']}",
        ):  # fmt: skip
            assert await get(http, f"/experiments/{path}") == [made]

    ask(question)


def test_health_is_where_the_book_has_it_and_where_every_server_has_it(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        for path in ("/v0.1/health", "/health"):
            assert (await http.get(path)).json() == {"health": "ok"}
        assert (await http.get("/health/ready")).json() == {"ready": True}

    ask(question)


def test_the_version_in_the_path_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(tmp_path))
    monkeypatch.setenv("MLPATTERNS_API_VERSION", "v2")

    async def question() -> None:
        async with client(ModelDB()) as http:
            assert (await http.get("/v2/api/projects/all")).json() == []
            assert (await http.get(f"{API}/projects/all")).status_code == 404

    asyncio.run(question())


def test_what_is_not_there_is_a_404_that_says_so(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        for path in (
            "/projects/id/x", "/projects/name/x", "/models/id/x", "/models/name/x", "/models/project-id/x",
            "/models/project-name/x", "/experiments/id/x", "/experiments/model-id/x", "/experiments/project-id/x",
        ):  # fmt: skip
            answer = await http.get(f"{API}{path}")
            assert (answer.status_code, list(answer.json())) == (404, ["error"]), path
        assert await get(http, "/experiments/model-version-id/x") == []

    ask(question)


def test_a_name_that_another_project_has_is_a_conflict(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        other = await post(http, "/projects", {"project_name": "other"})
        answer = await http.post(f"{API}/models", json={"project_id": other["project_id"], "model_name": "shapes"})
        assert (answer.status_code, answer.json()["error"]) == (
            409, "another project has a model shapes; names are unique over all projects",
        )  # fmt: skip

    ask(question)


def test_a_wrong_body_is_a_400_that_names_its_fields(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        answer = await http.post(f"{API}/models", json={"model_name": "a b", "colour": "red"})
        assert answer.status_code == 400
        assert all(name in answer.json()["error"] for name in ("project_id: ", "model_name: ", "colour: "))
        answer = await http.post(f"{API}/projects", content=b"[", headers={"content-type": "application/json"})
        assert (answer.status_code, list(answer.json())) == (400, ["error"])

    ask(question)
