"""`mlpatterns up` with the model DB in it: the registry that trainings fill, that servers follow and that it shows."""

from __future__ import annotations

import json
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from integration.test_cli import PATIENCE, ROW, Server, command, get, serving

pytestmark = pytest.mark.integration
API = "/model_db/v0.1/api"
NAME = "iris_sklearn_svc"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A running `up` and its home."""
    home = tmp_path_factory.mktemp("home")
    with serving("up", home=home) as server:
        yield server, home


def asked(server: Server, path: str, body: Any = None, method: str = "GET") -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}{path}", data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def served(server: Server) -> str:
    """The version that model_load, a HotSwap, answers with."""
    body = json.dumps({"data": [[float(value) for value in ROW.split(",")]]}).encode()
    request = urllib.request.Request(f"{server.url}/model_load/predict", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        version: str = answer.headers["x-mlp-version"]
        return version


def until(holds: Callable[[], bool]) -> None:
    end = monotonic() + PATIENCE
    while not holds():
        assert monotonic() < end
        sleep(0.05)


def test_the_model_db_shows_what_up_has_registered(up: tuple[Server, Path]) -> None:
    server, _ = up
    assert not any("next:" in line for line in server.lines)  # a training's advice to serve it: `up` does
    models = {row["model_name"] for row in asked(server, f"{API}/models/all")}
    assert {NAME, "iris_binary_setosa"} <= models
    (version,) = asked(server, f"{API}/models/name/{NAME}/versions")
    assert version["aliases"] == ["champion"]
    page = get(server.url)
    shown = page.partition('<article id="model_db"')[2].partition("</article>")[0]
    assert all(f"<option>{name}</option>" in shown for name in models)
    assert 'href="openapi.json"' in get(f"{server.url}/model_db/")
    assert asked(server, "/model_db/openapi.json")["servers"] == [{"url": "/model_db"}]
    assert asked(server, "/model_db/health/ready") == asked(server, "/health/ready") == {"ready": True}


def test_a_registry_command_asks_it_as_the_service_that_it_is(
    up: tuple[Server, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = up
    (tmp_path / "mlpatterns.toml").write_text(f'registry = "{server.url}/model_db"\n')
    done = command("registry", "list", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"{NAME}\s+1\s+champion:1", done.stdout)


def test_one_registry_bears_trainings_lookups_and_readers_at_once_and_a_swap_follows_it(
    up: tuple[Server, Path],
) -> None:
    server, home = up
    assert served(server) == "1"
    wrong: list[Exception] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                asked(server, f"{API}/models/name/{NAME}/versions")
                get(server.url)
            except OSError as error:
                wrong.append(error)

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                asked(server, f"{API}/projects", {"project_name": f"project {number}"}, "POST")
            except OSError as error:
                wrong.append(error)
            sleep(0.01)  # SQLite's lock is not fair: without a pause the training might wait for long

    threads = [threading.Thread(target=read), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    try:
        done = command("train", NAME, "--seed", "3", "--promote", home=home)
        assert done.returncode == 0, done.stderr
        until(lambda: served(server) == "2")
        moved = asked(server, f"{API}/models/name/{NAME}/aliases/champion", {"number": 1, "expected": 2}, "PUT")
        assert moved["number"] == 1
        until(lambda: served(server) == "1")
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert wrong == []
    assert [row["number"] for row in asked(server, f"{API}/models/name/{NAME}/versions")] == [1, 2]
    assert "Traceback" not in "".join(server.lines)


def test_it_ends_well(tmp_path: Path, up: tuple[Server, Path]) -> None:
    _, home = up
    with serving("up", home=home) as server:
        assert asked(server, "/model_db/health/ready") == {"ready": True}
        assert server.end() == 0
        assert "Traceback" not in "".join(server.lines)
