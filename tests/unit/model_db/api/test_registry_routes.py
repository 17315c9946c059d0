"""What completes the book's routes: versions, aliases, tags, deployments, lineage, pages, deletion."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from mlpatterns.model_db.api.app import ModelDB
from mlpatterns.settings import Settings
from mlpatterns.testing import client
from unit.model_db.api.conftest import API, TOKEN, VERSION, Ask, get, post, shapes

V = "/models/name/shapes/versions"
ALIAS = "/models/name/shapes/aliases/champion"


def test_versions_are_numbered_from_one_and_say_who_names_them(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        made = [await post(http, V, VERSION) for _ in range(3)]
        assert [each["number"] for each in made] == [1, 2, 3]
        await http.put(f"{API}{ALIAS}", json={"number": 2}, headers=TOKEN)
        found = await get(http, f"{V}/2")
        assert (found["aliases"], found["model_name"], found["artifact_url"]) == (
            ["champion"],
            "shapes",
            "s3://elsewhere/shapes/one",
        )
        assert (await get(http, "/models/name/shapes"))["last_number"] == 3

    ask(question)


def test_an_alias_moves_only_from_what_was_expected(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        for _ in range(2):
            await post(http, V, VERSION)
        for body, status in (
            ({"number": 1, "expected": 2}, 409),
            ({"number": 1, "expected": None}, 200),
            ({"number": 2, "expected": None}, 409),
            ({"number": 2, "expected": 1}, 200),
            ({"number": 1}, 200),
            ({"number": 9}, 404),
        ):
            assert (await http.put(f"{API}{ALIAS}", json=body, headers=TOKEN)).status_code == status, body
        assert (await get(http, ALIAS))["number"] == 1
        assert [each["alias"] for each in await get(http, "/models/name/shapes/aliases")] == ["champion"]

    ask(question)


def test_an_experiment_makes_one_version_of_its_own_model(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        model = await shapes(http)
        other = await post(http, "/models", {"project_id": model["project_id"], "model_name": "other"})
        body = {"model_id": model["model_id"], "model_version_id": "x"}
        made = {**VERSION, "experiment_id": (await post(http, "/experiments", body))["experiment_id"]}
        assert (await http.post(f"{API}/models/name/other/versions", json=made)).status_code == 409
        await post(http, V, made)
        assert "made version 1" in (await http.post(f"{API}{V}", json=made)).json()["error"]
        assert other["last_number"] == (await get(http, "/models/name/other"))["last_number"] == 0

    ask(question)


def test_tags_are_set_changed_found_and_taken_away(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        await post(http, V, VERSION)
        for owner in ("/models/name/shapes", f"{V}/1"):
            for value in ("new", "old"):
                assert (await http.put(f"{API}{owner}/tags/stage", json={"value": value})).json()["tags"] == {
                    "stage": value
                }
        for listing in ("/models/all", V):
            assert len(await get(http, f"{listing}?tag=stage:old")) == len(await get(http, f"{listing}?tag=stage")) == 1
            assert await get(http, f"{listing}?tag=stage:new") == await get(http, f"{listing}?tag=other") == []
        assert (await http.delete(f"{API}{V}/1/tags/stage")).status_code == 204
        assert (await http.delete(f"{API}{V}/1/tags/stage")).status_code == 404
        assert (await get(http, f"{V}/1"))["tags"] == {}

    ask(question)


def test_lineage_goes_from_the_datas_digest_to_where_its_version_serves(ask: Ask) -> None:
    digest = "0123456789abcdef" * 4

    async def question(http: httpx.AsyncClient) -> None:
        model = await shapes(http)
        body = {"model_id": model["model_id"], "model_version_id": "x", "training_dataset": f"9 rows sha256:{digest}"}
        experiment = await post(http, "/experiments", body)
        unused = await post(http, "/experiments", body)
        version = await post(http, V, {**VERSION, "experiment_id": experiment["experiment_id"]})
        deployed = await post(http, f"{V}/1/deployments", {"deployment_name": "shop"})
        whole = {
            "dataset_sha256": digest, "experiment": experiment, "version": version, "deployments": [deployed],
        }  # fmt: skip
        assert await get(http, f"{V}/1/lineage") == whole
        assert await get(http, f"/lineage/dataset/{digest}") == [
            whole, {"dataset_sha256": digest, "experiment": unused, "version": None, "deployments": []},
        ]  # fmt: skip
        ended = await post(http, f"/deployments/{deployed['deployment_id']}/end", {})
        assert ended["ended_datetime"] is not None
        assert await get(http, f"{V}/1/deployments") == [ended]
        assert (await http.post(f"{API}/deployments/{deployed['deployment_id']}/end")).status_code == 409

    ask(question)


def test_what_is_in_use_is_not_deleted_and_no_number_is_given_twice(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        async def delete(path: str) -> int:
            return (await http.delete(f"{API}{path}", headers=TOKEN)).status_code

        model = await shapes(http)
        experiment = await post(http, "/experiments", {"model_id": model["model_id"], "model_version_id": "x"})
        await post(http, V, {**VERSION, "experiment_id": experiment["experiment_id"]})
        await http.put(f"{API}{ALIAS}", json={"number": 1}, headers=TOKEN)
        deployed = await post(http, f"{V}/1/deployments", {"deployment_name": "shop"})
        project, owner = f"/projects/id/{model['project_id']}", f"/models/id/{model['model_id']}"
        run = f"/experiments/id/{experiment['experiment_id']}"
        assert [await delete(path) for path in (project, owner, run, f"{V}/1")] == [409] * 4
        assert await delete(ALIAS) == 204
        assert await delete(f"{V}/1") == 409
        await post(http, f"/deployments/{deployed['deployment_id']}/end", {})
        assert await delete(f"{V}/1") == 204
        assert (await post(http, V, VERSION))["number"] == 2
        assert [await delete(path) for path in (f"{V}/2", run, owner, project)] == [204] * 4
        assert await get(http, "/projects/all") == []

    ask(question)


@pytest.mark.parametrize("headers", [{}, {"x-admin-token": "wrong"}])
def test_nothing_is_deleted_without_the_token(ask: Ask, headers: dict[str, str]) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        model = await shapes(http)
        answer = await http.delete(f"{API}/models/id/{model['model_id']}", headers=headers)
        assert (answer.status_code, list(answer.json())) == (401, ["error"])
        assert await get(http, "/models/all") == [model]

    ask(question)


@pytest.mark.parametrize("headers", [{}, {"x-admin-token": "wrong"}])
def test_no_alias_moves_without_the_token(ask: Ask, headers: dict[str, str]) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        await post(http, V, VERSION)
        answer = await http.put(f"{API}{ALIAS}", json={"number": 1}, headers=headers)
        assert (answer.status_code, list(answer.json())) == (401, ["error"])
        assert await get(http, "/models/name/shapes/aliases") == []

    ask(question)


def test_where_there_is_no_token_whoever_may_ask_moves_an_alias(tmp_path: Path) -> None:
    async def question() -> None:
        async with client(ModelDB(Settings(home=tmp_path))) as http:
            await shapes(http)
            await post(http, V, VERSION)
            assert (await http.put(f"{API}{ALIAS}", json={"number": 1})).status_code == 200
            assert (await http.delete(f"{API}{ALIAS}")).status_code == 401

    asyncio.run(question())


def test_pages_follow_each_other_without_gap_or_twin_though_rows_are_added(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        names = [f"p{number}" for number in range(5)]
        for name in names:
            await post(http, "/projects", {"project_name": name})
        seen: list[str] = []
        path: str | None = f"{API}/projects/all?limit=2&search=P"
        while path is not None:
            answer = await http.get(path)
            seen += [each["project_name"] for each in answer.json()]
            link = answer.headers.get("link")
            path = None if link is None else f"{API}/projects/all{link.partition('<')[2].partition('>')[0]}"
            if len(seen) == 2:
                await post(http, "/projects", {"project_name": "later p"})
        assert seen == [*names, "later p"]
        assert (await http.get(f"{API}/projects/all?after=nonsense")).status_code == 400
        assert (await http.get(f"{API}/projects/all?limit=0")).status_code == 400

    ask(question)


def test_search_takes_what_is_asked_literally_and_without_case(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        await shapes(http)
        assert len(await get(http, "/models/all?search=SHAP")) == len(await get(http, "/models/all?search=四角")) == 1
        assert await get(http, "/models/all?search=s%25s") == await get(http, "/models/all?search=s_apes") == []

    ask(question)
