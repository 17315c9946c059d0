"""`mlpatterns new`: each pattern as a project, made, installed, tested and served where only the wheel is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import odd_models
from integration.installed import Installed
from integration.processes import Server
from mlpatterns.catalog import systems
from trained import trained_home

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.heavy]

PATTERNS = [
    system.name for system in systems() if {"app", "build"} <= system.defines and "HotSwap" not in system.pieces
]
# Each takes several seconds; these are of every shape that an answer has. `make chaos` tries all.
SHAPES = [
    "asynchronous",
    "batch",
    "condition_based",
    "horizontal_microservice",
    "online_ab",
    "prediction_monitoring",
    "sync_async",
]
TRIED = PATTERNS if int(os.environ.get("MLPATTERNS_CHAOS", "1")) > 1 else SHAPES
QUIET = ("--quiet", "--disable-pip-version-check", "--no-compile")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for all projects, in which nothing is left to train."""
    return trained_home(tmp_path_factory)


def make(installed: Installed, home: Path, folder: Path, *options: str | Path) -> str:
    """Makes a project and installs what it needs; returns what `new` printed."""
    done = installed.run("mlpatterns", "new", folder, *options, cwd=folder.parent, MLPATTERNS_HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert [entry.name for entry in folder.parent.iterdir() if entry != folder] in ([], ["given"])
    pip = installed.run("python", "-m", "pip", "install", *QUIET, f"{folder}[test]", cwd=folder)
    assert pip.returncode == 0, pip.stderr
    return done.stdout


def own_tests(installed: Installed, project: Path, nowhere: Path) -> str:
    """Runs a project's own tests where there is no registry."""
    done = installed.run(
        "python", "-m", "pytest", "-v", "-p", "no:cacheprovider", cwd=project, MLPATTERNS_HOME=str(nowhere)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    assert not (nowhere / "registry.db").exists()
    return done.stdout


def names(server: Server) -> list[str]:
    """The models that a server serves."""
    return sorted(model["name"] for model in server.ask("/v2/repository/index", {})[1])


@pytest.fixture(scope="module")
def flowers(installed: Installed, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of web_single."""
    project = tmp_path_factory.mktemp("made") / "flowers"
    make(installed, home, project, "--pattern", "web_single")
    return project


@pytest.mark.parametrize("pattern", TRIED)
def test_a_project_of_each_pattern_passes_its_tests_and_serves(
    installed: Installed, home: Path, tmp_path: Path, pattern: str
) -> None:
    project = tmp_path / f"My_{pattern}"
    printed = make(installed, home, project, "--pattern", pattern)
    assert f"my-{pattern.replace('_', '-')}, made from {pattern}" in printed
    assert "no sample" not in printed
    app = (project / "app.py").read_text(encoding="utf-8")
    assert "mlpatterns.patterns" not in app
    assert "demo" not in app
    tested = own_tests(installed, project, tmp_path / "nowhere")
    assert "test_an_input_that_is_missing_is_a_400" in tested
    elsewhere = tmp_path / "elsewhere"  # the app finds its models wherever it is started
    elsewhere.mkdir()
    with installed.serving("mlpatterns", "run", project / "app.py", cwd=elsewhere) as server:
        for name in names(server):
            status, described = server.ask(f"/v2/models/{name}")
            assert (status, described["name"]) == (200, name)
            alone = len(names(server)) == 1
            status, answer = server.ask("/predict/test" if alone else f"/models/{name}/predict/test")
            assert status < 300, answer
        assert server.stop() == 0
    assert "Traceback" not in server.output
    assert not list(elsewhere.rglob("registry.db"))


def test_the_project_of_web_single_is_tested_for_all_that_holds_for_it(
    installed: Installed, flowers: Path, tmp_path: Path
) -> None:
    tested = own_tests(installed, flowers, tmp_path / "nowhere")
    for promise in ("same_answer", "every_output", "several_rows", "highest_score", "bad_value_is_a_400", "is_ready"):
        assert promise in tested
    row = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
    with installed.serving("mlpatterns", "run", "app.py", cwd=flowers) as server:
        assert server.ask("/predict/label", {"data": [row]}) == (200, {"prediction": "setosa"})
        assert names(server) == ["iris_sklearn_svc"]


@pytest.fixture
def fruit(tmp_path: Path) -> Path:
    """A model of texts, with a name that is none for a model, and its labels beside it."""
    given = tmp_path / "given"
    given.mkdir()
    labels = odd_models.texts(given / "my fruit.onnx")
    (given / "labels.txt").write_text("\n".join(labels))
    return given / "my fruit.onnx"


def test_a_model_of_ones_own_that_takes_and_gives_texts(installed: Installed, tmp_path: Path, fruit: Path) -> None:
    labels = fruit.with_name("labels.txt")
    given = ("--pattern", "web_single", "--model", fruit, "--labels", labels)
    printed = make(installed, tmp_path / "nowhere", tmp_path / "greengrocer", *given)
    assert not (tmp_path / "nowhere").exists()  # nothing was trained
    assert "my_fruit" in printed
    fruit.unlink()  # what was given is not needed any more
    labels.unlink()
    tested = own_tests(installed, tmp_path / "greengrocer", tmp_path / "nowhere")
    for promise in ("same_answer", "several_rows", "highest_score", "bad_value_is_a_400"):
        assert promise in tested
    with installed.serving("mlpatterns", "run", "app.py", cwd=tmp_path / "greengrocer") as server:
        assert names(server) == ["my_fruit"]
        asked = server.ask("/predict/label", {"data": ["apple", "carrot"]})
        assert asked == (200, {"prediction": ["fruit", "vegetable"]})
        tensor = {"name": "word", "datatype": "BYTES", "shape": [1, 1], "data": ["apple"]}
        answer = server.ask("/v2/models/my_fruit/infer", {"inputs": [tensor], "outputs": [{"name": "taken"}]})[1]
        assert answer["outputs"][0]["data"] == ["apple"]


@pytest.mark.parametrize("odd", odd_models.ODD, ids=lambda odd: odd.__name__)
def test_the_tests_of_a_project_hold_for_models_of_every_kind(
    installed: Installed, tmp_path: Path, odd: odd_models.Make
) -> None:
    labels = odd(tmp_path / "odd.onnx")
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    given = ("--model", "odd.onnx", *(("--labels", "labels.json") if labels else ()))
    done = installed.run("mlpatterns", "new", "odd", "--pattern", "web_single", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    own_tests(installed, tmp_path / "odd", tmp_path / "nowhere")


def test_where_no_sample_is_known_the_tests_ask_for_one(installed: Installed, tmp_path: Path) -> None:
    odd_models.no_number(tmp_path / "odd.onnx")
    done = installed.run("mlpatterns", "new", "odd", "--pattern", "web_single", "--model", "odd.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "odd has no sample" in done.stdout
    tested = installed.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path / "odd")
    assert tested.returncode == 1
    assert "write one that the model takes into its metadata.json" in tested.stdout


def test_its_makefile_runs_its_tests(installed: Installed, flowers: Path) -> None:
    words = ("make", "test", f"BIN={installed.commands}", "-o", ".venv/.installed")
    done = installed.run(Path("/usr/bin/env"), *words, cwd=flowers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
