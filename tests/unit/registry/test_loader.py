"""The loader: a model in its place, verified, and what happens where it cannot be had."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.registry import loader
from mlpatterns.registry.files import digest
from mlpatterns.registry.loader import LoadedModel, load_model
from mlpatterns.runtime import running
from mlpatterns.testing import request
from mlpatterns.user_errors import ModelFileError, RegistryDown, UnknownName, UserError
from releases import NAME, Releases, graph


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    made = Releases(tmp_path / "home")
    for factor in (10.0, 20.0):
        made.publish(factor, promote=False)
    return made


def answer(model: Path, home: Releases) -> float:
    """What the loaded file answers to 3, served as a file is."""

    async def main() -> float:
        served = OnnxModel(f"file:{model}")
        async with running(served, settings=home.settings):
            response = await served.predict(request({"x": np.array([[3.0]], np.float32)}))
            return float(response.outputs["y"][0, 0])

    return asyncio.run(main())


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("source", "version", "said"), [(NAME, 1, 30.0), (f"{NAME}:2", 2, 60.0)])
def test_a_registered_version_is_put_in_its_place_with_what_belongs_to_it(
    releases: Releases, tmp_path: Path, source: str, version: int, said: float
) -> None:
    loaded = load_model(source, tmp_path / "models", settings=releases.settings)
    assert loaded.source == f"{NAME}:{version}"
    assert loaded.sha256 == digest(loaded.model)
    assert files(tmp_path / "models") == ["times.golden.json", "times.metadata.json", "times.onnx"]
    assert answer(loaded.model, releases) == said


def test_it_takes_the_place_of_the_one_before_and_leaves_nothing_of_it(releases: Releases, tmp_path: Path) -> None:
    load_model(NAME, tmp_path / "models", settings=releases.settings)
    (tmp_path / "times.onnx").write_bytes(graph(70.0))
    address, sha256 = (tmp_path / "times.onnx").as_uri(), digest(tmp_path / "times.onnx")
    loaded = load_model(address, tmp_path / "models", settings=releases.settings, sha256=sha256)
    assert files(tmp_path / "models") == ["times.onnx"]
    assert answer(loaded.model, releases) == 210.0


@pytest.mark.parametrize(
    ("source", "sha256", "error", "why"),
    [
        (f"{NAME}:9", None, UnknownName, "its latest is 2"),
        (NAME, "0" * 64, ModelFileError, r"times:1 has the SHA-256 .*, not 000"),
        (NAME, "abc", UserError, "64 hexadecimal digits"),
        ("file:///nowhere/x.onnx", "0" * 64, ModelFileError, "cannot be read"),
        ("file:///nowhere/x.onnx", None, UserError, "may hold any model; give the SHA-256"),
        ("http://host/x.onnx", "0" * 64, UserError, "is not the address of a model"),
        ("s3://bucket/x.pkl", "0" * 64, UserError, "is not the address of a model"),
    ],
)
def test_what_cannot_be_had_is_one_sentence_and_writes_nothing(
    releases: Releases, tmp_path: Path, source: str, sha256: str | None, error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        load_model(source, tmp_path / "models", settings=releases.settings, sha256=sha256)
    assert not (tmp_path / "models").exists()


def test_a_damaged_artifact_is_refused_and_the_model_that_is_there_stays(releases: Releases, tmp_path: Path) -> None:
    before = load_model(NAME, tmp_path / "models", settings=releases.settings)
    (releases.publish(30.0).folder / "model.onnx").write_bytes(b"other bytes")
    with pytest.raises(ModelFileError, match="does not match its SHA-256"):
        load_model(NAME, tmp_path / "models", settings=releases.settings)
    assert digest(before.model) == before.sha256


def test_a_default_takes_its_place_only_where_it_is_told_to_and_says_why(releases: Releases, tmp_path: Path) -> None:
    loaded = load_model(f"{NAME}@next", tmp_path, settings=releases.settings, default=f"{NAME}:2")
    assert (loaded.source, loaded.model) == (f"{NAME}:2", tmp_path / "times.onnx")
    assert "there is no model alias 'times@next'" in loaded.instead
    with pytest.raises(UnknownName, match="times:9"):
        load_model(f"{NAME}@next", tmp_path, settings=releases.settings, default=f"{NAME}:9")


def test_a_registry_that_does_not_answer_is_asked_again_for_as_long_as_told(
    releases: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, attempts, pauses = loader._load, list[str](), list[float]()

    def late(*args: Any, **named: Any) -> LoadedModel:
        attempts.append("asked")
        if len(attempts) < 3:
            raise RegistryDown("the registry does not answer")
        return whole(*args, **named)

    monkeypatch.setattr(loader, "_load", late)
    loaded = load_model(NAME, tmp_path, settings=releases.settings, wait=60, pause=pauses.append)
    assert (loaded.source, loaded.instead, len(pauses)) == (f"{NAME}:1", "", 2)
    attempts.clear()
    with pytest.raises(RegistryDown):
        load_model(NAME, tmp_path, settings=releases.settings)


def test_a_folder_that_cannot_be_written_is_one_sentence(releases: Releases, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(UserError, match="models cannot be written"):
        load_model(NAME, tmp_path / "models", settings=releases.settings)
