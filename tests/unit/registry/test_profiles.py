"""Where the profile of a model is found, and what is no profile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core import runtime_of
from mlpatterns import ModelProfiles, Settings, running
from mlpatterns.analysis.profile import DataProfile, profile
from mlpatterns.registry.files import ModelFiles
from mlpatterns.registry.loader import load_model
from mlpatterns.registry.profiles import profile_file, read_profile
from mlpatterns.testing import CountingModel
from mlpatterns.training import run
from mlpatterns.user_errors import ModelFileError, RegistryDown

MADE: DataProfile = profile(np.arange(20.0).reshape(10, 2), ["a", "b"])


def asked(profiles: ModelProfiles, version: str, settings: Settings) -> DataProfile | None:
    async def main() -> DataProfile | None:
        async with running(CountingModel(), settings=settings) as app:
            return await profiles.of(version, runtime_of(app))

    return asyncio.run(main())


def test_of_a_model_file_it_lies_beside_the_file(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path / "iris.onnx", None, "", "iris", "abc")
    assert profile_file(files) == tmp_path / "iris.profile.json"
    assert read_profile(files) is None
    profile_file(files).write_bytes(msgspec.json.encode(MADE))
    assert read_profile(files) == MADE


@pytest.mark.parametrize("content", [b"", b"[]", b'{"rows": "many", "fields": []}', b"\xff"])
def test_what_is_no_profile_is_refused(tmp_path: Path, content: bytes) -> None:
    files = ModelFiles(tmp_path / "iris.onnx", None, "", "iris", "abc")
    profile_file(files).write_bytes(content)
    with pytest.raises(ModelFileError, match=r"iris: profile\.json is not a profile of this model; train it again"):
        read_profile(files)


def test_each_registered_version_has_its_own_and_one_that_is_not_there_has_none(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, control="memory://")
    for seed in (1, 2):
        run("iris_sklearn_svc", home=tmp_path, options={"seed": seed})
    profiles = ModelProfiles("iris_sklearn_svc")
    first, second = (asked(profiles, version, settings) for version in "12")
    assert first is not None
    assert second is not None
    assert [field.name for field in first.fields][:2] == ["sepal_length", "sepal_width"]
    assert first != second
    assert len(first.fields[0].sample) == 105
    for version in ("3", "0", "abc", "9" * 20):
        assert asked(profiles, version, settings) is None


def test_a_model_that_is_fetched_brings_its_profile(tmp_path: Path) -> None:
    run("iris_sklearn_svc", home=tmp_path / "home")
    settings = Settings(home=tmp_path / "home", control="memory://")
    loaded = load_model("iris_sklearn_svc", tmp_path / "work", settings=settings)
    profiles = ModelProfiles(f"file:{loaded.model}")
    found = asked(profiles, loaded.sha256[:12], settings)
    assert found == asked(ModelProfiles("iris_sklearn_svc"), "1", settings)
    assert found is not None
    assert asked(profiles, "2", settings) is None


def test_a_registry_that_is_down_is_no_missing_profile(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, control="memory://", registry="http://127.0.0.1:9")
    with pytest.raises(RegistryDown):
        asked(ModelProfiles("iris_sklearn_svc"), "1", settings)
