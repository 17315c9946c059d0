"""What of an app's folder goes into its image."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlpatterns.release.app_files import copy_app

GIVEN = (
    "app.py", "shapes/round.py", "models/one.onnx", "models/old/two.onnx", "train.py", "notes.md", "Makefile", ".env",
    "tests/test_app.py", ".venv/bin/python", "__pycache__/app.pyc", "pyproject.toml", "requirements.txt", "own.whl",
)  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in GIVEN:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "source"


def copied(source: Path) -> set[str]:
    target = source.with_name("target")
    copy_app(source, target, home=source / "home")
    return {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}


def test_code_and_data_go_and_what_is_hidden_made_or_for_people_and_tests_stays(source: Path) -> None:
    assert copied(source) == {"app.py", "shapes/round.py", "models/one.onnx", "models/old/two.onnx", "train.py"}


def test_secrets_and_the_home_of_this_machine_stay(source: Path) -> None:
    for name in ("tls/server.key", "ca.PEM", "id_rsa", "id_ed25519.pub", "credentials.json", "secret.yaml", "prod.env",
                 "secrets/token", "home/registry.db", "home/x.onnx", ".git/config", ".cache/x"):  # fmt: skip
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    for code in ("secrets.py", "keys.py", "data/keyboard.csv"):
        (source / code).parent.mkdir(exist_ok=True)
        (source / code).touch()
    before = {"app.py", "shapes/round.py", "models/one.onnx", "models/old/two.onnx", "train.py"}
    assert copied(source) == before | {"secrets.py", "keys.py", "data/keyboard.csv"}


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ("# a word\ntrain.py\n\nmodels/old\n", {"app.py", "shapes/round.py", "models/one.onnx"}),
        ("*\n!app.py\n!models\n", {"app.py", "models/one.onnx", "models/old/two.onnx"}),
        ("**/*.onnx\n!models/one.onnx\n", {"app.py", "shapes/round.py", "train.py", "models/one.onnx"}),
        ("models/*/two.onnx\n?rain.py\nshapes/\n", {"app.py", "models/one.onnx"}),
        ("models\n.env\n!.env\n", {"app.py", "shapes/round.py", "train.py"}),  # what is hidden may be secret: it stays
    ],
)
def test_its_dockerignore_leaves_out_more_and_the_last_line_that_fits_decides(
    source: Path, lines: str, left: set[str]
) -> None:
    (source / ".dockerignore").write_text(lines)
    assert copied(source) == left
