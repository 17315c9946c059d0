"""A real image by a real engine: built, run by its own command as its own user, asked over HTTP, looked through."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest
from msgspec import Struct

from image_engine import BASE, Buildah, buildah
from integration.installed import EXAMPLE, MADE
from integration.processes import Server, free_port
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from trained import trained_home

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.heavy]

NAME, TAG = "model_in_image", "localhost/iris:1"
ROW = {"data": [[5.1, 3.5, 1.4, 0.2]]}
OWN = "io.github.mlpatterns"
TRAINING = {"scikit-learn", "skl2onnx", "onnx", "scipy", "torch", "sqlalchemy", "alembic", "fastapi", "pandas"}
INSTALLED = "import importlib.metadata as m; print(*sorted(each.name.lower() for each in m.distributions()))"
# Everything in an image has one time, long ago: what is younger was written by what ran, or (there) by the engine.
YOUNGER = (
    "find",
    "/",
    "-xdev",
    "-newermt",
    "2000-01-01",
    "-type",
    "f",
    "-not",
    "-path",
    "/etc/*",
    "-not",
    "-path",
    "/run/*",
)


class Image(Struct, frozen=True):
    engine: Buildah
    home: Path
    printed: str


def build(engine: Buildah, home: Path, tag: str, what: str | Path = NAME) -> str:
    """`image build` in a process of its own, so that nothing is remembered."""
    words = ("image", "build", str(what), "--tag", tag, "--base", BASE, "--builder", "buildah")
    done = subprocess.run(
        [sys.executable, "-m", "mlpatterns", *words],
        env={**engine.environ, "MLPATTERNS_HOME": str(home)}, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    with buildah() as engine:
        home = trained_home(tmp_path_factory)
        yield Image(engine, home, build(engine, home, TAG))


@contextmanager
def running(image: Image, container: str, *options: str | Path, tag: str = TAG) -> Iterator[Server]:
    """The image's own command as its own user; only the port is another, since the network is this machine's."""
    port = free_port()
    command = image.engine.configuration(tag)["Cmd"]
    words = ["buildah", "run", "--env", f"MLPATTERNS_PORT={port}", *map(str, options), container, "--", *command]
    process = subprocess.Popen(
        words, env=dict(image.engine.environ), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    server = Server(process, port)
    try:
        server.wait_until_ready()
        yield server
    finally:
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ():
            child.kill()
        server.stop()


@pytest.fixture
def container(image: Image) -> Iterator[str]:
    name = image.engine.run("from", TAG).stdout.strip()
    yield name
    image.engine.run("rm", name)


def served(process: subprocess.Popen[str]) -> psutil.Process:
    """The server itself, below the engine's own processes."""
    found = [each for each in psutil.Process(process.pid).children(recursive=True) if "python" in each.exe()]
    (server,) = found or [psutil.Process(process.pid)]
    return server


def test_it_says_what_is_in_it_and_how_it_is_run(image: Image) -> None:
    says = image.engine.configuration(TAG)
    files = locate("iris_sklearn_svc", Settings(home=image.home))
    assert says["Labels"][f"{OWN}.model.iris_sklearn_svc.sha256"] == files.sha256
    assert says["Labels"][f"{OWN}.model.iris_sklearn_svc.version"] == "1"
    assert says["Labels"]["org.opencontainers.image.version"] == "1"
    assert says["Labels"]["org.opencontainers.image.base.name"] == BASE
    assert (says["User"], says["StopSignal"], list(says["ExposedPorts"])) == ("10001:10001", "SIGTERM", ["8000/tcp"])
    assert says["Cmd"] == ["mlpatterns", "run", "app.py"]
    assert says["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    assert f"{TAG}  sha256:" in image.printed
    assert " MB with its base, built in " in image.printed


def test_its_command_serves_the_model_as_another_user_who_can_write_nowhere(
    image: Image, container: str, tmp_path: Path
) -> None:
    (tmp_path / "nothing").mkdir()
    with running(image, container, "--volume", f"{tmp_path / 'nothing'}:/tmp:ro") as server:
        own = served(server.process)
        assert set(own.uids()) == {10001}
        request = Request(
            f"http://127.0.0.1:{server.port}/predict", json.dumps(ROW).encode(), {"content-type": "application/json"}
        )
        with urlopen(request) as answer:
            assert json.load(answer)["prediction"] == pytest.approx([0.968, 0.029, 0.003], abs=0.02)
            assert answer.headers["x-mlp-version"] == "1"
        assert server.ask("/predict/label", ROW) == (200, {"prediction": "setosa"})
        tensor = {"name": "input", "datatype": "FP32", "shape": [1, 4], "data": ROW["data"]}
        status, answered = server.ask("/v2/models/iris_sklearn_svc/infer", {"inputs": [tensor]})
        registered = locate("iris_sklearn_svc", Settings(home=image.home))
        assert (status, answered["parameters"]["identity"]) == (200, registered.sha256)
        health = image.engine.configuration(TAG)["Healthcheck"]["Test"][1:]
        well = ("run", "--env", f"MLPATTERNS_PORT={server.port}", container, "--", *health)
        assert image.engine.run(*well).returncode == 0
        os.kill(own.pid, signal.SIGTERM)
        assert server.process.wait(30) == 0
    assert image.engine.run(*well, check=False).returncode != 0
    assert image.engine.run("run", "--user", "0", container, "--", *YOUNGER).stdout.split() == []


def test_it_holds_what_serves_and_nothing_that_trains_or_installs(image: Image, container: str) -> None:
    names = set(image.engine.run("run", container, "--", "python", "-c", INSTALLED).stdout.split())
    assert names >= {"mlpatterns", "onnxruntime", "numpy"}
    assert not names & TRAINING
    assert "pip" not in names
    asked = ("run", container, "--", "find", "/", "-xdev", "-name")
    for module in ("sklearn", "skl2onnx", "sqlalchemy", "torch", "*.whl", "pip"):
        assert image.engine.run(*asked, module, check=False).stdout.split() == [], module


def test_built_again_every_layer_is_the_same(image: Image) -> None:
    """Nothing is taken from the first: every layer is made anew."""
    build(image.engine, image.home, "localhost/iris:again")
    first, again = image.engine.layers(TAG), image.engine.layers("localhost/iris:again")
    assert len(first) == len(again) == 3  # the base, what serves, the app with its model
    assert first == again


def test_the_example_is_built_into_an_image_that_reads_a_real_digit(image: Image, tmp_path: Path) -> None:
    """An app of a user's own, with a model file, a module of its own and what its pyproject.toml asks for."""
    example, tag = tmp_path / "digits", "localhost/digits:1"
    shutil.copytree(EXAMPLE, example, ignore=MADE)
    subprocess.run([sys.executable, "train.py"], cwd=example, check=True, capture_output=True)
    build(image.engine, image.home, tag, example / "app.py")
    container = image.engine.run("from", tag).stdout.strip()
    try:
        with running(image, container, tag=tag) as server:
            picture = b64encode((example / "sample.png").read_bytes()).decode()
            assert server.ask("/predict/label", {"data": picture}) == (200, {"prediction": "4"})
    finally:
        image.engine.run("rm", container)
