"""Names, labels and texts that are not plain: each of the three databases keeps or refuses them as the others do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from mlpatterns.cli import main
from mlpatterns.model_db.api.app import ModelDB
from mlpatterns.model_db.register import Registration, register
from mlpatterns.settings import Settings
from mlpatterns.testing import client
from mlpatterns.user_errors import WrongUse
from services import DATABASES, database
from unit.model_db.conftest import entry

__all__ = ["entry"]

pytestmark = pytest.mark.integration

API = "/v0.1/api"
VERSION = {"sha256": "a" * 64, "manifest_sha256": "b" * 64, "artifact_url": "s3://elsewhere/shapes/one"}
UNFIT = ("a\0b", " a", "a ", "a\u3000", "a\nb", "a\x7f", "a\x9bb", "a\u2028b")
ALIKE = ("resume", "Resume", "résumé", "re\u0301sume\u0301", "ｒesume")  # to a collation that ignores case or accents

Ask = Callable[[Callable[[httpx.AsyncClient], Awaitable[None]]], None]


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def ask(tmp_path: Path, url: str) -> Ask:
    """Runs a question against a service with the project `demo`, the model `shapes` and a version of it."""

    def run(question: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
        async def asked() -> None:
            async with client(ModelDB(Settings(home=tmp_path, registry=url, admin_token="command"))) as http:
                project = await sent(http, "POST", "/projects", {"project_name": "demo"})
                model = {"project_id": project["project_id"], "model_name": "shapes"}
                await sent(http, "POST", "/models", model)
                await sent(http, "POST", "/models/name/shapes/versions", VERSION)
                await question(http)

        asyncio.run(asked())

    return run


async def sent(http: httpx.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    answer = await http.request(method, f"{API}{path}", json=body, headers={"x-admin-token": "command"})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(http: httpx.AsyncClient, method: str, path: str, body: Any = None) -> str:
    answer = await http.request(method, f"{API}{path}", json=body, headers={"x-admin-token": "command"})
    assert answer.status_code == 400, (path, body, answer.status_code, answer.text)
    return str(answer.json()["error"])


def test_a_name_that_is_no_plain_text_is_refused_wherever_it_is_sent(ask: Ask) -> None:
    async def sent_as(http: httpx.AsyncClient, unfit: str) -> None:
        model = await sent(http, "GET", "/models/name/shapes")
        own = {"model_id": model["model_id"], "model_version_id": "mine"}
        for path, body in (
            ("/projects", {"project_name": unfit}),
            ("/models", {"project_id": model["project_id"], "model_name": unfit}),
            ("/models", {"project_id": unfit, "model_name": "other"}),
            ("/experiments", {**own, "model_version_id": unfit}),
            ("/experiments", {**own, "model_id": unfit}),
            ("/models/name/shapes/versions", {**VERSION, "artifact_url": f"s3://elsewhere/{unfit}"}
             if not unfit.startswith(" ") else {**VERSION, "artifact_url": unfit}),
            ("/models/name/shapes/versions", {**VERSION, "experiment_id": unfit}),
            ("/models/name/shapes/versions/1/deployments", {"deployment_name": unfit}),
        ):  # fmt: skip
            await refused(http, "POST", path, body)
        for kind in ("", "/versions/1"):
            await refused(http, "PUT", f"/models/name/shapes{kind}/tags/stage", {"value": unfit})
            await refused(http, "PUT", f"/models/name/shapes{kind}/tags/{quote(unfit)}", {"value": "new"})
        await refused(http, "PUT", f"/models/name/shapes/aliases/{quote(unfit)}", {"number": 1})

    async def question(http: httpx.AsyncClient) -> None:
        for unfit in UNFIT:
            await sent_as(http, unfit)

    ask(question)


def test_a_path_or_a_filter_that_is_no_plain_text_is_refused(ask: Ask) -> None:
    """`demo ` is not `demo`, and nobody who asks for it is told that of the other."""

    async def looked_up(http: httpx.AsyncClient, part: str) -> None:
        for method, path in (
            ("GET", f"/projects/name/{part}"),
            ("GET", f"/projects/id/{part}"),
            ("DELETE", f"/projects/id/{part}"),
            ("GET", f"/models/name/{part}"),
            ("GET", f"/models/name/{part}/versions"),
            ("GET", f"/models/project-name/{part}"),
            ("GET", f"/models/name/shapes/aliases/{part}"),
            ("DELETE", f"/models/name/shapes/aliases/{part}"),
            ("DELETE", f"/models/name/shapes/tags/{part}"),
            ("GET", f"/experiments/model-version-id/{part}"),
            ("POST", f"/deployments/{part}/end"),
            ("GET", f"/models/all?tag={part}"),
            ("GET", f"/models/all?tag=stage:{part}"),
            ("GET", f"/models/name/shapes/versions?tag=stage:{part}"),
        ):
            await refused(http, method, path)

    async def question(http: httpx.AsyncClient) -> None:
        for unfit in UNFIT:
            await looked_up(http, quote(unfit))

    ask(question)


def test_a_nul_is_refused_in_every_text_and_query(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        model = await sent(http, "GET", "/models/name/shapes")
        own = {"model_id": model["model_id"], "model_version_id": "mine"}
        assert "has a NUL character" in await refused(http, "GET", "/projects/all?search=a%00b")
        await refused(http, "GET", "/models/all?after=a%00~b")
        await refused(http, "POST", "/projects", {"project_name": "other", "description": "a\0b"})
        for field in ("training_dataset", "validation_dataset", "test_dataset"):
            await refused(http, "POST", "/experiments", {**own, field: "a\0b"})
        for field in ("parameters", "evaluations", "artifact_file_paths"):
            for found in ({"x": ["a\0b"]}, {"a\0b": 1}):
                await refused(http, "POST", "/experiments", {**own, field: found})

    ask(question)


def test_a_number_that_is_not_finite_is_refused(ask: Ask) -> None:
    """JSON has none; Python's reader takes them, and PostgreSQL would not."""

    async def question(http: httpx.AsyncClient) -> None:
        model = await sent(http, "GET", "/models/name/shapes")
        headers = {"content-type": "application/json"}
        for number in ("NaN", "Infinity", "-Infinity"):
            body = f'{{"model_id": "{model["model_id"]}", "model_version_id": "m", "evaluations": {{"x": [{number}]}}}}'
            answer = await http.post(f"{API}/experiments", content=body, headers=headers)
            assert answer.status_code == 400
            assert "is not finite" in answer.json()["error"]

    ask(question)


def test_half_a_character_is_refused(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        model = await sent(http, "GET", "/models/name/shapes")
        own = f'"model_id": "{model["model_id"]}", "model_version_id": "m"'
        for path, body in (
            ("/projects", '{"project_name": "a\\ud800"}'),
            ("/experiments", f'{{{own}, "parameters": {{"x": "a\\ud800"}}}}'),
        ):
            answer = await http.post(f"{API}{path}", content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 400, answer.text

    ask(question)


def test_names_that_differ_by_case_or_accents_are_two(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        made = [await sent(http, "POST", "/projects", {"project_name": name}) for name in ALIKE]
        assert len({each["project_id"] for each in made}) == len(ALIKE)
        for name, project in zip(ALIKE, made, strict=True):
            assert await sent(http, "GET", f"/projects/name/{quote(name)}") == project
        for number, model in enumerate(("Shapes", "SHAPES")):
            await sent(http, "POST", "/models", {"project_id": made[number]["project_id"], "model_name": model})
        for key in ("stage", "Stage"):
            await sent(http, "PUT", f"/models/name/shapes/tags/{key}", {"value": key})
        assert (await sent(http, "GET", "/models/name/shapes"))["tags"] == {"stage": "stage", "Stage": "Stage"}
        for alias in ("live", "Live"):
            await sent(http, "PUT", f"/models/name/shapes/aliases/{alias}", {"number": 1})
        assert len(await sent(http, "GET", "/models/name/shapes/aliases")) == 2

    ask(question)


def test_a_filter_by_a_tags_value_tells_case_and_accents_apart(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        for kind in ("", "/versions/1"):
            await sent(http, "PUT", f"/models/name/shapes{kind}/tags/stage", {"value": "résumé"})
        for value in ALIKE:
            wanted = int(value == "résumé")
            for path in ("/models/all", "/models/name/shapes/versions"):
                assert len(await sent(http, "GET", f"{path}?tag=stage:{quote(value)}")) == wanted

    ask(question)


@pytest.mark.parametrize("fields", [{"model": "shapes "}, {"project": "demo "}, {"project": "a\0b"}, {"model": "a\0"},
                                    {"tags": {"stage": "new "}}, {"tags": {"st age": "new"}}])  # fmt: skip
def test_what_registers_a_model_refuses_them_before_it_publishes(
    url: str, tmp_path: Path, entry: Registration, fields: dict[str, Any]
) -> None:
    settings = Settings(home=tmp_path / "home", registry=url)
    with pytest.raises(WrongUse):
        register(Registration(**{"model": entry.model, "files": entry.files, **fields}), settings)
    assert not (tmp_path / "home").exists()


def test_commands_refuse_them_with_exit_code_2(
    url: str,
    tmp_path: Path,
    entry: Registration,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    register(entry, Settings(home=tmp_path, registry=url))
    monkeypatch.setenv("MLPATTERNS_HOME", str(tmp_path))
    monkeypatch.setenv("MLPATTERNS_REGISTRY", url)
    monkeypatch.setattr(logging.root, "handlers", [])  # a test before may have left one that writes to its own stderr
    for words in (
        ("show", "shapes "),
        ("tag", "shapes", "stage=new "),
        ("tag", "shapes", "st age=new"),
        ("tag", "shapes ", "stage=new"),
        ("alias", "shapes:1", "live "),
        ("rm", "shapes :1"),
        ("list", "--tag", "stage:new "),
    ):
        assert main(["registry", *words]) == 2, words
        assert len(capsys.readouterr().err.splitlines()) == 1
