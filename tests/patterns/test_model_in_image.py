"""model_in_image: its demo holds on the real model, and each claim fails where the context does not keep it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlpatterns.cli import main
from mlpatterns.patterns.release import model_in_image as pattern
from mlpatterns.release.stamps import stamp
from mlpatterns.testing import BuildContext, build_context, client

pytestmark = [pytest.mark.slow, pytest.mark.heavy]  # a build context is made with every wheel that it needs

WHOLE, SMALL, SAME, VERSION = (
    "the model is in it, byte for byte",
    "it has what serves and no library of training",
    "served alone, with no registry: the answers of the registered model; nothing is written",
    "registry, label and answer name one version and digest",
)
Spoil = Callable[[BuildContext, int], BuildContext | None]


@pytest.fixture(scope="module")
def made(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildContext:
    """A real context, made once: the tests spoil copies of it."""
    before = os.environ.get("MLPATTERNS_HOME")
    os.environ["MLPATTERNS_HOME"] = str(trained_home)
    try:
        return build_context("model_in_image", tmp_path_factory.mktemp("context") / "made")
    finally:
        if before is None:
            del os.environ["MLPATTERNS_HOME"]
        else:
            os.environ["MLPATTERNS_HOME"] = before


@pytest.fixture(autouse=True)
def surroundings(trained_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setattr(pattern, "engine_with", lambda image: None)


def spoiled(made: BuildContext, spoil: Spoil) -> Callable[..., BuildContext]:
    """What takes the place of `build_context`: the same, with `spoil` done to it."""
    times = count(1)

    def context(target: str, folder: Path) -> BuildContext:
        shutil.copytree(made.folder, folder, copy_function=linked)
        own = replace(made, folder=folder)
        own = spoil(own, next(times)) or own
        stamp(folder)
        return own

    return context


def linked(source: str, target: str) -> None:
    """Wheels are large, and nobody spoils them."""
    os.link(source, target) if source.endswith(".whl") else shutil.copy2(source, target)


def failing(monkeypatch: pytest.MonkeyPatch, context: Callable[..., BuildContext]) -> set[str]:
    monkeypatch.setattr(pattern, "build_context", context)

    async def ask() -> set[str]:
        async with client(pattern.app) as http:
            rows = (await pattern.demo(http)).rows
            assert len(rows) >= 5
            return {row.claim for row in rows if not row.holds}

    return asyncio.run(ask())


def test_every_claim_holds_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "model_in_image"]) == 0
    out = capsys.readouterr().out
    assert [claim for claim in (WHOLE, SMALL, SAME, VERSION) if claim not in out] == []
    assert "put together again: the same" in out
    assert out.endswith("model_in_image: all 5 claims hold\n")


def test_an_honest_copy_holds(monkeypatch: pytest.MonkeyPatch, made: BuildContext) -> None:
    assert failing(monkeypatch, spoiled(made, lambda own, turn: None)) == set()


def test_another_model_fails(monkeypatch: pytest.MonkeyPatch, made: BuildContext, trained_home: Path) -> None:
    """Its bytes are another's; it says so itself, since its version is that of the file that was meant."""
    (other,) = (trained_home / "artifacts").rglob("iris_sklearn_rf/**/model.onnx")

    def swapped(own: BuildContext, turn: int) -> None:
        shutil.copyfile(other, own.folder / "app" / "models" / "iris_sklearn_svc.onnx")

    assert failing(monkeypatch, spoiled(made, swapped)) == {WHOLE, SAME, VERSION}


def test_a_library_of_training_fails(monkeypatch: pytest.MonkeyPatch, made: BuildContext) -> None:
    def fat(own: BuildContext, turn: int) -> BuildContext:
        return replace(own, requirements=(*own.requirements, "scikit-learn==1.9.0"))

    assert failing(monkeypatch, spoiled(made, fat)) == {SMALL}


def test_a_list_without_what_serves_proves_nothing(monkeypatch: pytest.MonkeyPatch, made: BuildContext) -> None:
    assert failing(monkeypatch, spoiled(made, lambda own, turn: replace(own, requirements=()))) == {SMALL}


def test_an_app_that_writes_into_its_home_fails(monkeypatch: pytest.MonkeyPatch, made: BuildContext) -> None:
    def writes(own: BuildContext, turn: int) -> None:
        app = own.folder / "app" / "app.py"
        app.write_text(f"{app.read_text()}\nimport os\nPath(os.environ['MLPATTERNS_HOME'], 'state').touch()\n")

    assert failing(monkeypatch, spoiled(made, writes)) == {SAME}


def test_a_label_of_another_version_fails(monkeypatch: pytest.MonkeyPatch, made: BuildContext) -> None:
    def older(own: BuildContext, turn: int) -> BuildContext:
        return replace(own, labels={key: "0" if key.endswith(".version") else own.labels[key] for key in own.labels})

    assert failing(monkeypatch, spoiled(made, older)) == {VERSION}
    assert failing(monkeypatch, spoiled(made, lambda own, turn: replace(own, labels={}))) == {VERSION}


def test_what_is_other_the_second_time_fails(monkeypatch: pytest.MonkeyPatch, made: BuildContext) -> None:
    def dated(own: BuildContext, turn: int) -> None:
        (own.folder / "app" / "built.txt").write_text(str(turn))

    (claim,) = failing(monkeypatch, spoiled(made, dated))
    assert claim.startswith("put together again")


# ---- with an engine ----


class Engine:
    """Takes the place of the engines of this machine; `keeps` is whether it has an image after it built it."""

    def __init__(self, *, keeps: bool = True, base: bool = True) -> None:
        self.keeps, self.base, self.built = keeps, base, ""

    def with_image(self, image: str) -> str | None:
        return "buildah" if (self.keeps and image == self.built if image == pattern.TAG else self.base) else None

    def build(self, target: str, tag: str, engine: str) -> str:
        assert (target, engine) == (pattern.NAME, "buildah")
        self.built = tag
        return f"{tag}  sha256:abc  1 MB"


@pytest.mark.parametrize(
    ("engine", "claims"), [(Engine(), set()), (Engine(keeps=False), {"buildah builds it"}), (Engine(base=False), set())]
)
def test_where_an_engine_has_the_base_the_image_must_be_there_afterwards(
    monkeypatch: pytest.MonkeyPatch, made: BuildContext, engine: Engine, claims: set[str]
) -> None:
    monkeypatch.setattr(pattern, "engine_with", engine.with_image)
    monkeypatch.setattr(pattern, "build_image", engine.build)
    assert failing(monkeypatch, spoiled(made, lambda own, turn: None)) == claims
    assert engine.built == (pattern.TAG if engine.base else "")
