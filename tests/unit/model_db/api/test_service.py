"""The service as a server: its document, its page, its limits, its keys, and a database that is down."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from mlpatterns.model_db.api.app import ModelDB
from mlpatterns.model_db.api.sessions import Sessions
from mlpatterns.settings import Settings
from mlpatterns.testing import client
from mlpatterns.user_errors import UserError
from unit.model_db.api.conftest import API, Ask


def test_the_document_is_valid_and_describes_every_route_its_errors_and_its_rows(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        document: Any = (await http.get("/openapi.json")).json()
        validate(document)
        for path, methods in document["paths"].items():
            for operation in methods.values():
                assert operation["description"], path
                assert "422" not in operation["responses"], path
                if path.startswith(API):
                    assert {"400", "401", "404", "409", "413", "503"} <= set(operation["responses"]), path
        assert {"ProjectRow", "ModelRow", "ExperimentRow", "VersionRow", "Failure"} <= set(
            document["components"]["schemas"]
        )

    ask(question)


def test_the_page_shows_every_route_and_loads_nothing(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        page = await http.get("/docs")
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert "POST /v0.1/api/experiments/evaluations/{experiment_id}" in page.text
        assert "src=" not in page.text

    ask(question)


def test_a_body_is_refused_by_its_length_before_it_is_read(ask: Ask) -> None:
    async def question(http: httpx.AsyncClient) -> None:
        answer = await http.post(f"{API}/projects", content=b" " * ((1 << 20) + 1))
        assert (answer.status_code, answer.json()) == (413, {"error": "the body may have at most 1048576 bytes"})

        async def pieces() -> Any:
            yield b"{}"

        assert (await http.post(f"{API}/projects", content=pieces())).status_code == 413

    ask(question)


def test_what_is_not_foreseen_is_a_500_that_says_nothing_of_the_inside(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Sessions, work: Any) -> Any:
        raise RuntimeError("/secret/path")

    async def question(http: httpx.AsyncClient) -> None:
        monkeypatch.setattr(Sessions, "read", broken)
        transport = httpx.ASGITransport(app=http._transport.app, raise_app_exceptions=False)  # type: ignore[attr-defined]
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as other:
            answer = await other.get(f"{API}/projects/all")
        assert (answer.status_code, answer.json()) == (500, {"error": "an internal error; the server's log has more"})

    ask(question)


def test_a_database_that_went_away_is_a_503_and_not_ready(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(self: Sessions, work: Any) -> Any:
        raise OperationalError("select", {}, Exception("connection refused by 10.0.0.7"))

    async def question(http: httpx.AsyncClient) -> None:
        monkeypatch.setattr(Sessions, "read", down)
        for path in (f"{API}/projects/all", "/health/ready"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()) == (
                503, {"error": "the registry's database does not answer; try again"},
            )  # fmt: skip
        assert (await http.get("/health/live")).status_code == 200

    ask(question)


def test_an_outage_is_two_lines_of_the_log(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(self: Session, *_args: Any, **_options: Any) -> Any:
        raise OperationalError("select", {}, Exception("connection refused\n\tIs the server running?"))

    async def question(http: httpx.AsyncClient) -> None:
        with monkeypatch.context() as outage:
            outage.setattr(Session, "execute", down)
            for _ in range(3):
                assert (await http.get("/health/ready")).status_code == 503
        assert (await http.get("/health/ready")).status_code == 200
        assert (await http.get(f"{API}/projects/all")).status_code == 200

    with caplog.at_level("INFO", "mlpatterns"):
        ask(question)
    assert [line for line in caplog.messages if "database" in line] == [
        "the registry's database failed: connection refused Is the server running?",
        "the registry's database answers again",
    ]


def test_more_requests_than_connections_are_a_503(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load SQLAlchemy's pool has no free connection for 30 s; what it raises is no error of the database."""

    def full(self: Sessions, work: Any) -> Any:
        raise PoolTimeout("QueuePool limit of size 5 overflow 10 reached, connection timed out")

    async def question(http: httpx.AsyncClient) -> None:
        monkeypatch.setattr(Sessions, "read", full)
        answer = await http.get(f"{API}/projects/all")
        assert answer.status_code == 503
        assert answer.json() == {"error": "the registry has too many requests at once; try again"}
        assert answer.headers["retry-after"] == "1"

    ask(question)


def test_with_keys_only_their_holders_are_let_in_and_health_needs_none(tmp_path: Path) -> None:
    async def question() -> None:
        async with client(ModelDB(Settings(home=tmp_path, api_keys={"ann": "k3y"}))) as http:
            assert (await http.get(f"{API}/projects/all")).status_code == 401
            assert (await http.get(f"{API}/projects/all", headers={"x-api-key": "k3y"})).status_code == 200
            assert (await http.get("/health/ready")).status_code == 200

    asyncio.run(question())


def test_a_registry_that_cannot_be_used_is_one_sentence_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"no database at all, " * 100)

    async def question() -> None:
        async with client(ModelDB(Settings(home=tmp_path))):
            raise AssertionError

    with pytest.raises(UserError, match="cannot be used: file is not a database"):
        asyncio.run(question())


def test_making_the_app_or_a_client_imports_neither_fastapi_nor_sqlalchemy() -> None:
    code = (
        "import sys; from mlpatterns import ModelDB, RegistryClient; ModelDB(); RegistryClient('http://127.0.0.1:1');"
        "print({'fastapi', 'sqlalchemy', 'pydantic', 'alembic', 'aiohttp'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
