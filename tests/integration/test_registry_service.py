"""A registry behind HTTP: servers and the command line ask the service of model_db; the files are shared."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from integration.processes import free_port, serving
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from mlpatterns.stores import open_store
from mlpatterns.stores.registry import Registry
from mlpatterns.training import run
from mlpatterns.user_errors import RegistryDown, UnknownName, UserError

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MODEL, KEY, TOKEN = "iris_sklearn_svc", "a /key", "t0ken"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two versions of a model; the first is the champion."""
    made = tmp_path_factory.mktemp("home")
    for seed in range(2):
        run(MODEL, home=made, options={"seed": seed}, promote=seed == 0)
    return made


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    """A service that asks for a key, as a registry's URL with that key."""
    given = {"MLPATTERNS_HOME": str(home), "MLPATTERNS_ADMIN_TOKEN": TOKEN, "MLPATTERNS_API_KEYS": f"ann={KEY}"}
    with serving("model_db", cwd=home, environ=given) as server:
        yield f"http://key:a%20%2Fkey@127.0.0.1:{server.port}"


@pytest.fixture
def shared(home: Path, tmp_path: Path) -> Path:
    """A home that has the artifacts alone."""
    (tmp_path / "artifacts").symlink_to(home / "artifacts")
    return tmp_path


def test_a_server_loads_what_the_service_names(url: str, shared: Path) -> None:
    environ = {"MLPATTERNS_HOME": str(shared), "MLPATTERNS_REGISTRY": url}
    with serving("web_single", "--model", f"{MODEL}:2", cwd=shared, environ=environ) as server:
        answer = httpx.get(f"http://127.0.0.1:{server.port}/predict/test")
    assert (answer.status_code, answer.headers["x-mlp-version"]) == (200, "2")
    assert not (shared / "registry.db").exists()


def test_by_alias_and_by_number(url: str, shared: Path) -> None:
    settings = Settings(home=shared, registry=url)
    assert (locate(MODEL, settings).version, locate(f"{MODEL}:2", settings).version) == ("1", "2")


def test_the_store_answers_as_often_as_it_is_asked(url: str) -> None:
    async def asked() -> list[int]:
        registry = await open_store(Registry, url)  # type: ignore[type-abstract]
        try:
            found = [await registry.find(RegisteredReference(MODEL, version=number)) for number in (1, 2, 1)]
        finally:
            await registry.close()
        return [each.version for each in found]

    assert asyncio.run(asked()) == [1, 2, 1]


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("iris", f"there is no model 'iris'; there is {MODEL}"),
        (f"{MODEL}:9", f"there is no model version '{MODEL}:9'; its latest is 2"),
        (f"{MODEL}@best", f"there is no model alias '{MODEL}@best'; did you mean '{MODEL}@"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(url: str, shared: Path, reference: str, sentence: str) -> None:
    with pytest.raises(UnknownName, match=re.escape(sentence)):
        locate(reference, Settings(home=shared, registry=url))


def test_a_key_that_is_wrong_or_missing_is_said_and_not_shown(url: str, shared: Path) -> None:
    for wrong in (url.replace("a%20%2Fkey", "s3cret"), url.replace("key:a%20%2Fkey@", "")):
        with pytest.raises(UserError, match=r"refuses: .*API key") as caught:
            locate(MODEL, Settings(home=shared, registry=wrong))
        assert not isinstance(caught.value, RegistryDown)
        assert "s3cret" not in str(caught.value)


def test_a_service_that_is_down_may_be_up_later(shared: Path) -> None:
    with pytest.raises(RegistryDown, match=r"could not be read: the model DB did not answer"):
        locate(MODEL, Settings(home=shared, registry=f"http://127.0.0.1:{free_port()}"))


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"<html>"), (200, b"<html>"), (200, b"[]"), (200, b"\xff"), (500, b"")]
)
def test_what_is_no_model_db_is_told_in_one_sentence(shared: Path, status: int, body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(UserError, match=r"^(what answers|the registry) at http://127.*") as caught:
                locate(MODEL, Settings(home=shared, registry=f"http://127.0.0.1:{server.server_port}"))
        finally:
            server.shutdown()
            thread.join()
    assert "\n" not in str(caught.value)


def command(
    url: str, home: Path, *words: str, token: str = TOKEN, artifacts: str = ""
) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "MLPATTERNS_HOME": str(home), "MLPATTERNS_REGISTRY": url, "MLPATTERNS_ADMIN_TOKEN": token}
    environ |= {"MLPATTERNS_ARTIFACTS": artifacts} if artifacts else {}
    return subprocess.run([sys.executable, "-m", "mlpatterns", *words], env=environ, capture_output=True, text=True,
                          timeout=120)  # fmt: skip


@pytest.mark.heavy  # a dozen commands, each a process
def test_the_command_shows_and_changes_the_same_over_http(url: str, home: Path, tmp_path: Path) -> None:
    def same(*words: str) -> str:
        """What both ways say."""
        over_http = command(url, tmp_path, "registry", *words)
        database = command(f"sqlite:///{home / 'registry.db'}", home, "registry", *words)
        assert over_http.stdout == database.stdout, over_http.stderr
        return over_http.stdout

    def move(number: int, *words: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
        """Where the files are, since they are asked before an alias moves."""
        alias = ("registry", "alias", f"{MODEL}:{number}", "challenger", *words)
        return command(url, tmp_path, *alias, token=token, artifacts=Settings(home=home).artifacts_url)

    run(MODEL, home=home, options={"seed": 2})
    assert "no tag of this key" in command(url, tmp_path, "registry", "tag", f"{MODEL}:3", "stage=").stderr
    assert command(url, tmp_path, "registry", "tag", f"{MODEL}:3", "stage=new", "by=ann").stdout == (
        f"{MODEL}:3: by=ann, stage=new\n"
    )
    assert command(url, tmp_path, "registry", "tag", MODEL, "owner=ann").stdout == f"{MODEL}: owner=ann\n"
    assert command(url, tmp_path, "registry", "tag", f"{MODEL}:3", "by=").stdout == f"{MODEL}:3: stage=new\n"
    assert move(3, "--expected", "0").returncode == 0
    assert move(2, "--expected", "0").returncode != 0
    elsewhere = command(url, tmp_path, "registry", "alias", f"{MODEL}:2", "challenger").stderr
    assert "--force releases it all the same" in elsewhere
    assert "challenger:3" in same("list")
    assert "stage=new" in same("show", MODEL)
    assert "move the alias first" in command(url, tmp_path, "registry", "rm", f"{MODEL}:3").stderr.replace("\n", " ")
    assert move(1).returncode == 0
    refused = command(url, tmp_path, "registry", "rm", f"{MODEL}:3", token="wrong")
    assert (refused.returncode != 0, "MLPATTERNS_ADMIN_TOKEN" in refused.stderr) == (True, True)
    assert command(url, tmp_path, "registry", "rm", f"{MODEL}:3").returncode == 0
    assert "stage=new" not in same("show", MODEL)


def test_what_needs_the_database_itself_says_so(url: str, tmp_path: Path) -> None:
    done = command(url, tmp_path, "train", MODEL)
    assert done.returncode != 0
    assert "need the database itself" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
