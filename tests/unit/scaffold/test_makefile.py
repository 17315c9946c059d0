"""A project's Makefile finds mlpatterns where the one that made the project came from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlpatterns.catalog import get
from mlpatterns.scaffold import project, requirements
from mlpatterns.settings import Settings
from unit.scaffold import test_project

settings = test_project.settings  # a fixture: a model of one's own


class Installed:
    """The record that pip keeps of a package that was installed from a URL (PEP 610)."""

    def __init__(self, record: str | None) -> None:
        self.record = record

    def read_text(self, name: str) -> str | None:
        return self.record if name == "direct_url.json" else None


def recipes(folder: Path, target: str, *words: str) -> str:
    """The commands that `make TARGET` would give."""
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "-C", str(folder), target, *words],
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (None, "mlpatterns"),
        ('{"url": "file:///home/ann/my%20clone", "dir_info": {"editable": true}}', "/home/ann/my clone"),
        ('{"url": "file:///wheels/mlpatterns-1.whl"}', "/wheels/mlpatterns-1.whl"),
        ('{"url": "https://example.com/mlpatterns.git"}', "mlpatterns"),
    ],
)
def test_it_is_the_folder_or_wheel_of_the_installation_else_the_name(
    record: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "distribution", lambda name: Installed(record))
    assert requirements.installed_from() == found


@pytest.mark.parametrize("place", ["/home/ann/my clone", "/home/ann's/$HOME/#1"])
def test_the_folder_is_what_pip_is_given(
    place: str, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "installed_from", lambda: place)
    project.make_project(get("web_single"), tmp_path / "shop", settings)
    line = next(line for line in recipes(tmp_path / "shop", "install").splitlines() if "pip install" in line)
    shown = subprocess.run(
        ["sh", "-c", line.replace(".venv/bin/pip", "printf %s\\\\n")], text=True, capture_output=True
    )
    assert shown.stdout.splitlines()[-2:] == [place, ".[test]"]


def test_an_image_of_what_is_elsewhere_is_given_a_wheel_of_it(tmp_path: Path, settings: Settings) -> None:
    """A build sees no folder but the project's own."""
    project.make_project(get("web_single"), tmp_path / "shop", settings)
    folder = recipes(tmp_path / "shop", "image", "MLPATTERNS=/home/ann/mlpatterns")
    assert "pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir . '/home/ann/mlpatterns'" in folder
    assert """MLPATTERNS="$(ls mlpatterns-*.whl)" --tag shop .""" in folder
    index = recipes(tmp_path / "shop", "image", "MLPATTERNS=mlpatterns")
    assert index == "docker build --build-arg MLPATTERNS='mlpatterns' --tag shop .\n"
