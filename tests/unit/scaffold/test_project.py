"""A project is whole, or it is not there."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import re
import runpy
import shutil
import stat
import tomllib
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

import odd_models
from mlpatterns.catalog import System, get
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.model_db.register import Registration, register
from mlpatterns.registry.files import dump_metadata, load_metadata
from mlpatterns.release.app_files import copy_app
from mlpatterns.scaffold.facts import facts_of, load_app
from mlpatterns.scaffold.project import MadeProject, check, make_project
from mlpatterns.server.app import App
from mlpatterns.settings import Settings
from mlpatterns.user_errors import ModelFileError, NotOffered, UserError

TWO = '''"""Header."""

from mlpatterns import FanOut, OnnxModel, Predictor, Service, serve

PARTS = ("first", "second")


def build() -> Predictor:
    """Both."""
    return FanOut({name: Service(name, OnnxModel(f"sums_{name}", name=name)) for name in PARTS}, name="both")


app = serve(build)
'''
FILES = {
    ".dockerignore", ".gitignore", "Dockerfile", "Makefile", "README.md", "app.py", "models/fruit.metadata.json",
    "models/fruit.onnx", "pyproject.toml", "tests/conftest.py", "tests/test_app.py",
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a model of one's own that takes texts."""
    given = tmp_path / "given"
    given.mkdir()
    (given / "labels.txt").write_text("\n".join(odd_models.texts(given / "fruit.onnx")))
    monkeypatch.setenv("MLPATTERNS_MODEL", f"file:{given / 'fruit.onnx'}")
    return Settings(home=tmp_path / "home", model=f"file:{given / 'fruit.onnx'}", labels=given / "labels.txt")


@pytest.fixture
def made(tmp_path: Path, settings: Settings) -> MadeProject:
    return make_project(get("web_single"), tmp_path / "shop", settings)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_it_holds_what_is_needed_and_nothing_else_is_left_beside_it(tmp_path: Path, made: MadeProject) -> None:
    assert names(tmp_path / "shop") == FILES
    assert {entry.name for entry in tmp_path.iterdir()} == {"given", "shop"}
    assert stat.S_IMODE((tmp_path / "shop").stat().st_mode) == stat.S_IMODE((tmp_path / "given").stat().st_mode)


def test_no_place_of_a_template_is_left_open(made: MadeProject) -> None:
    for name in FILES - {"models/fruit.onnx"}:
        assert "%%" not in (made.folder / name).read_text(encoding="utf-8")


def test_its_digest_and_its_question_stand_in_the_readme(made: MadeProject) -> None:
    readme = (made.folder / "README.md").read_text(encoding="utf-8")
    assert made.models[0].sha256 in readme
    assert """predict http://127.0.0.1:8000 '{"data":""}'""" in readme


def test_its_metadata_carry_the_labels(made: MadeProject) -> None:
    described = json.loads((made.folder / "models" / "fruit.metadata.json").read_text())
    assert described["labels"] == ["fruit", "vegetable"]


def test_its_pyproject_is_one_and_asks_for_what_serving_needs_alone(made: MadeProject) -> None:
    project = tomllib.loads((made.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "shop"
    assert project["dependencies"] == ["mlpatterns>=0.2"]


def test_its_dockerfile_has_stages_and_copies_what_is_there(made: MadeProject) -> None:
    text = (made.folder / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    stages = [rest for word, rest in lines if word == "FROM"]
    assert stages == ["${BASE} AS build", "${BASE} AS server", "server"]
    assert re.fullmatch(r"BASE=python:3\.\d+-slim", lines[0][1])  # no host: whoever builds decides
    own = dict(lines[lines.index(["FROM", "${BASE} AS server"]) :])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", own["USER"])
    assert (own["EXPOSE"], own["STOPSIGNAL"]) == ("8000", "SIGTERM")
    assert json.loads(own["CMD"]) == ["mlpatterns", "run", "app.py"]
    assert "/health/ready" in own["HEALTHCHECK"]
    ignored = (made.folder / ".dockerignore").read_text().split("\n")
    for word, rest in lines:
        for source in rest.split()[:-1] if word == "COPY" and not rest.startswith("--from=build ") else ():
            assert any(line == f"!{source}" or line.startswith(f"!{source}/") for line in ignored)
            assert source == "*.whl" or (made.folder / source).exists()


def test_its_dockerignore_lets_in_what_is_served_and_nothing_else(made: MadeProject) -> None:
    for name in ("models/other.onnx", "models/other.metadata.json", ".env", "server.key", ".git/config", "notes.txt",
                 ".venv/bin/python", ".mlpatterns/registry.db", "__pycache__/app.pyc"):  # fmt: skip
        (made.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (made.folder / name).touch()
    copy_app(made.folder, made.folder.with_name("image"), home=made.folder / ".mlpatterns")
    assert names(made.folder.with_name("image")) == {"app.py", "models/fruit.onnx", "models/fruit.metadata.json"}
    ignored = (made.folder / ".dockerignore").read_text()
    assert "!models\n" not in ignored
    assert "!models/fruit.onnx\n!models/fruit.metadata.json\n" in ignored


def test_an_empty_folder_becomes_it_and_stays_the_same_folder(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "shop").mkdir()
    before = (tmp_path / "shop").stat().st_ino
    make_project(get("web_single"), tmp_path / "shop", settings)
    assert (tmp_path / "shop").stat().st_ino == before
    assert names(tmp_path / "shop") == FILES


@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_leaves_nothing(tmp_path: Path, settings: Settings, exists: bool) -> None:
    """The model is found bad when some files are written already."""
    (tmp_path / "given" / "fruit.onnx").write_text("no model")
    if exists:
        (tmp_path / "shop").mkdir()
    with pytest.raises(ModelFileError):
        make_project(get("web_single"), tmp_path / "shop", settings)
    assert {entry.name for entry in tmp_path.iterdir()} == {"given", *(["shop"] if exists else [])}
    assert not exists or not list((tmp_path / "shop").iterdir())


def test_what_came_in_between_is_not_overwritten(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else makes the folder, and puts something there, while the project is made."""

    def render(folder: Path, *rest: object) -> None:
        (tmp_path / "shop").mkdir()
        (tmp_path / "shop" / "app.py").write_text("mine")

    monkeypatch.setattr("mlpatterns.scaffold.project.render", render)
    with pytest.raises(UserError, match="nothing is overwritten"):
        make_project(get("web_single"), tmp_path / "shop", settings)
    assert (tmp_path / "shop" / "app.py").read_text() == "mine"
    assert names(tmp_path / "shop") == {"app.py"}


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A pattern of two registered models."""
    for name in ("sums_first", "sums_second"):
        odd_models.integers(tmp_path / "sums.onnx")
        content = (tmp_path / "sums.onnx").read_bytes()
        described = ModelMetadata(
            name, "", "onnxruntime_onnx", (TensorSpec("cube", "INT64", (-1, 3, 2), fields=("low", "high")),),
            (TensorSpec("sums", "INT64", (-1,)),), "sums", sample={"cube": np.arange(6).reshape(1, 3, 2)},
        )  # fmt: skip
        files = {"model.onnx": content, "metadata.json": dump_metadata(described)}
        entry = Registration(name, files, hashlib.sha256(content).hexdigest())
        register(entry, Settings(home=tmp_path / "home", registry=Settings(home=tmp_path / "home").registry_url))
    pattern = tmp_path / "two.py"
    pattern.write_text(TWO)
    monkeypatch.setattr("mlpatterns.scaffold.project.load_pattern", load_app_of)
    return replace(get("web_single"), name="two", path=pattern, takes_model=False)


def load_app_of(system: System) -> App:
    app: App = runpy.run_path(str(system.path))["app"]
    return app


def test_every_model_of_a_pattern_is_copied_with_what_its_registry_knows(tmp_path: Path, two: System) -> None:
    made = make_project(two, tmp_path / "shop", Settings(home=tmp_path / "home"))
    assert [(model.name, model.origin) for model in made.models] == [
        ("sums_first", "sums_first:1 of the registry"),
        ("sums_second", "sums_second:1 of the registry"),
    ]
    for model in made.models:
        described = load_metadata(made.folder / "models" / f"{model.name}.metadata.json")
        assert described.inputs[0].fields == ("low", "high")
        assert described.sample is not None
        assert described.sample["cube"].tolist() == [[[0, 1], [2, 3], [4, 5]]]
    shutil.rmtree(tmp_path / "home")  # the project does without the registry
    (fact,) = asyncio.run(facts_of(load_app(made.folder / "app.py")))
    assert (fact.name, fact.answers) == ("both", True)


def test_a_pattern_that_takes_no_other_model_says_so(tmp_path: Path, two: System) -> None:
    check(two, tmp_path / "shop", model=False)
    with pytest.raises(NotOffered, match="two takes no other model than its own; leave --model out"):
        check(two, tmp_path / "shop", model=True)


def test_a_pattern_that_follows_a_registry_says_how_to_do_that_in_a_project(tmp_path: Path, two: System) -> None:
    with pytest.raises(NotOffered, match=r"two follows an alias .* put HotSwap\("):
        check(replace(two, pieces=("HotSwap",)), tmp_path / "shop", model=False)


def test_a_pattern_that_makes_its_table_takes_no_model_of_several_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd_models.two_inputs(tmp_path / "pair.onnx")
    settings = Settings(home=tmp_path / "home", model=f"file:{tmp_path / 'pair.onnx'}")
    monkeypatch.setenv("MLPATTERNS_MODEL", str(settings.model))
    with pytest.raises(NotOffered, match="batch makes a table of rows of one input, and pair takes several; start"):
        make_project(get("batch"), tmp_path / "shop", settings)
    assert not (tmp_path / "shop").exists()


def test_a_disk_that_is_full_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render(folder: Path, *rest: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mlpatterns.scaffold.project.render", render)
    with pytest.raises(UserError, match="shop cannot be written: No space left on device; name a folder elsewhere"):
        make_project(get("web_single"), tmp_path / "shop", settings)
    assert {entry.name for entry in tmp_path.iterdir()} == {"given"}
