"""Which engine builds, and what is said when none can: commands of our own stand in the place of the three."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mlpatterns.release.engines import find_engine
from mlpatterns.user_errors import UserError

Put = Callable[..., None]
BUILDS = 'echo building; file=$(echo "$*" | sed "s/.*--iidfile \\([^ ]*\\).*/\\1/"); printf sha256:abc > "$file"'


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Puts a command on a path that has none of the engines."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("mlpatterns.release.engines.shutil.which", lambda name: found(tmp_path / name))

    def put(name: str, *, answers: bool = True, build: str = BUILDS, more: str = "exit 0") -> None:
        script = f'#!/bin/sh\ncase "$1" in\nversion) exit {int(not answers)};;\nbuild) {build};;\n*) {more};;\nesac\n'
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)

    return put


def found(path: Path) -> str | None:
    return str(path) if path.exists() else None


def test_the_first_that_works_builds_and_a_docker_without_its_daemon_does_not(put: Put) -> None:
    put("docker", answers=False)
    put("buildah")
    assert find_engine().name == "buildah"
    put("podman")
    assert find_engine().name == "podman"
    put("docker")
    assert find_engine().name == "docker"
    assert find_engine("buildah").name == "buildah"


@pytest.mark.usefixtures("put")
def test_where_there_is_none_one_sentence_names_the_three_and_another_way() -> None:
    with pytest.raises(UserError, match=r"no docker, podman or buildah here.*--context-only"):
        find_engine()


def test_one_that_does_not_answer_is_named(put: Put) -> None:
    put("docker", answers=False)
    with pytest.raises(UserError, match=r"^docker is here but does not answer; start or install docker, podman"):
        find_engine()
    with pytest.raises(UserError, match=r"^docker is here but does not answer; start or install docker, or"):
        find_engine("docker")
    with pytest.raises(UserError, match=r"'kaniko' cannot build images here; --builder takes docker, podman, buildah"):
        find_engine("kaniko")


def test_a_build_tells_digest_and_size(put: Put, tmp_path: Path) -> None:
    put("podman", more="echo 1234")
    built = find_engine().build(tmp_path, "shop:1")
    assert (built.tag, built.digest, built.bytes) == ("shop:1", "sha256:abc", 1234)


def test_the_size_of_buildahs_image_is_that_of_its_layers(put: Put, tmp_path: Path) -> None:
    put("buildah", more=f"echo '{json.dumps({'layers': [{'size': 3}, {'size': 4}]})}'")
    assert find_engine().build(tmp_path, "shop:1").bytes == 7


def test_a_build_that_fails_is_told_by_its_last_lines(put: Put, tmp_path: Path) -> None:
    put("podman", build="seq 100; echo no space left >&2; exit 3")
    with pytest.raises(UserError, match=r"podman could not build shop:1; its last output:\n82\n") as told:
        find_engine().build(tmp_path, "shop:1")
    assert str(told.value).endswith("100\nno space left")


@pytest.mark.parametrize("name", ["docker", "podman", "buildah"])
def test_each_is_told_the_time_of_the_files(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put(name)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    words = find_engine().words(tmp_path, "shop:1", tmp_path / "digest")
    assert "1700000000" in " ".join(words)
    assert words[-1] == str(tmp_path)
