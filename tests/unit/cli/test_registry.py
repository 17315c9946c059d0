"""`mlpatterns registry …`: what is there, aliases, tags, deletion and import, each refusal one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlpatterns.cli import main
from mlpatterns.model_db.register import Registration, register
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from odd_models import picture
from unit.model_db.conftest import entry
from weighted import weighted

__all__ = ["entry"]


@pytest.fixture
def registered(home: Path, entry: Registration) -> Path:
    """A home with two versions of `shapes`; the first is the champion."""
    for _ in range(2):
        register(entry, Settings(home=home, registry=f"sqlite:///{home / 'registry.db'}"))
    return home


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["registry", *arguments])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


@pytest.mark.usefixtures("registered")
def test_models_and_versions_are_shown_with_what_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "tag", "shapes", "owner=ann") == (0, "shapes: owner=ann\n")
    assert said(capsys, "tag", "shapes:2", "stage=new", "kept=yes") == (0, "shapes:2: kept=yes, stage=new\n")
    code, text = said(capsys, "list", "--tag", "owner:ann", "--search", "SHAPE")
    assert code == 0
    assert text.splitlines()[1].split() == ["shapes", "2", "champion:1", "owner=ann"]
    code, text = said(capsys, "show", "shapes")
    assert [line.split()[:2] for line in text.splitlines()[1:]] == [["1", "champion"], ["2", "kept=yes,"]]
    assert said(capsys, "tag", "shapes", "owner=") == (0, "shapes: no tags\n")


def test_an_alias_moves_and_with_expected_only_from_there(registered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "alias", "shapes:2", "champion", "--expected", "2")[0] == 1
    move = ("alias", "shapes:2", "champion", "--force", "--expected", "1")
    assert said(capsys, *move) == (0, "shapes@champion is shapes:2\n")
    assert said(capsys, "alias", "shapes:1", "challenger", "--force", "--expected", "0")[0] == 0
    assert locate("shapes", Settings(home=registered)).version == "2"


def test_a_deleted_versions_files_go_with_it_and_no_others(
    registered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.parent for path in registered.rglob("model.onnx")}
    assert said(capsys, "rm", "shapes:2")[0] == 0
    (left,) = {path.parent for path in registered.rglob("model.onnx")}
    assert before - {left}
    assert locate("shapes", Settings(home=registered)).folder == left


def test_files_that_cannot_be_deleted_are_said_to_stay(
    registered: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    code, text = said(capsys, "rm", "shapes:2")
    assert (code, text) == (
        0,
        "shapes:2 is deleted; its files could not be deleted: `mlpatterns registry sweep` removes them later\n",
    )


def test_a_sweep_says_and_removes_what_a_killed_training_left(
    registered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = registered / "artifacts" / "shapes" / ("0" * 32)
    left.mkdir()
    (left / "model.onnx").write_bytes(b"12345")
    assert said(capsys, "sweep") == (0, "0 artifacts were removed\n")
    os.utime(left / "model.onnx", (0, 0))
    what = f"shapes/{'0' * 32}  5 bytes\n"
    assert said(capsys, "sweep", "--dry-run") == (0, f"{what}1 artifacts would be removed\n")
    assert said(capsys, "sweep") == (0, f"{what}1 artifacts were removed\n")
    assert not left.exists()
    assert len(list((registered / "artifacts" / "shapes").iterdir())) == 2


@pytest.mark.usefixtures("registered")
def test_what_is_named_is_not_deleted_and_what_is_not_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "rm", "shapes:1")
    assert (code, text) == (1, "mlpatterns: shapes:1 is what champion names; move the alias first\n")
    assert said(capsys, "rm", "shapes:2") == (0, "shapes:2 is deleted\n")
    assert said(capsys, "rm", "shapes:2")[1] == "mlpatterns: the model has no version 2; its last version number is 2\n"


@pytest.mark.parametrize(
    ("arguments", "wanted", "text"),
    [
        (("rm", "shapes"), 2, "'shapes' is not a version; write NAME:NUMBER"),
        (("tag", "shapes", "word"), 2, "'word' is not a tag; write KEY=VALUE"),
        (("show", "shape"), 1, "there is no model 'shape'; did you mean 'shapes'? `mlpatterns registry list`"),
        (("rm", "shaped:1"), 1, "there is no model 'shaped'; did you mean 'shapes'?"),
        (("tag", "xyz", "a=b"), 1, "there is no model 'xyz'; there is shapes; `mlpatterns registry list`"),
        (("alias", "sapes:1", "champion"), 1, "there is no model 'sapes'; did you mean 'shapes'?"),
        (("alias", "shapes:9", "champion"), 2, "the model has no version 9; its last version number is 2"),
        (("alias", "shapes:1", "a b"), 2, "is not a model reference"),
        (("alias", "shapes:x", "champion"), 2, "is not a model reference"),
        (("import", "nowhere.onnx"), 2, "there is no model file nowhere.onnx"),
        (("import", "nowhere.onnx", "--force"), 2, "--force goes with --promote"),
    ],
)
@pytest.mark.usefixtures("registered")
def test_a_refusal_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], wanted: int, text: str
) -> None:
    code, printed = said(capsys, *arguments)
    assert code == wanted
    assert text in printed
    assert "Traceback" not in printed


def test_asking_does_not_make_a_registry(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no registry yet" in said(capsys, "list")[1]
    assert not home.exists()


@pytest.mark.parametrize("words", [("registry", "list"), ("registry", "show", "shapes"), ("registry", "sweep"),
                                   ("run", "shapes"), ("run", "model_db", "--port", "0")])  # fmt: skip
def test_an_empty_registry_file_is_an_error_and_stays_as_it_is(home: Path, words: tuple[str, ...]) -> None:
    home.mkdir()
    (home / "registry.db").touch()
    done = subprocess.run([sys.executable, "-m", "mlpatterns", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "is a file without a registry's tables; restore it from a backup, or let" in done.stderr
    assert "Traceback" not in done.stderr
    assert (home / "registry.db").stat().st_size == 0


def test_what_registers_a_model_makes_a_registry_in_an_empty_file(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    (home / "registry.db").touch()
    picture(tmp_path / "mine.onnx")
    assert said(capsys, "import", "mine.onnx")[0] == 0
    assert "mine" in said(capsys, "list")[1]


def test_a_plain_file_becomes_a_version_that_is_found_and_described(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(picture(tmp_path / "mine.onnx")))
    for number, promoted in ((1, ()), (2, ("--promote",))):
        code, text = said(
            capsys,
            "import",
            str(tmp_path / "mine.onnx"),
            "--name",
            "imported",
            "--labels",
            str(tmp_path / "labels.txt"),
            *promoted,
        )
        assert (code, text.splitlines()[0]) == (0, f"imported:{number} (champion)")
    found = locate("imported", Settings(home=home))
    assert found.metadata is not None
    assert (found.version, found.metadata.name, found.metadata.labels) == ("2", "imported", ("red", "green", "blue"))
    assert found.model.read_bytes() == (tmp_path / "mine.onnx").read_bytes()
    weighted(tmp_path / "heavy.onnx", 2.0)
    assert said(capsys, "import", str(tmp_path / "heavy.onnx"))[0] == 0
    assert set(locate("heavy", Settings(home=home)).weights) == {"weights.bin"}
    (tmp_path / "weights.bin").unlink()
    assert "keeps weights in weights.bin, which is not there" in said(capsys, "import", str(tmp_path / "heavy.onnx"))[1]
    (tmp_path / "text.onnx").write_text("no graph")
    assert said(capsys, "import", str(tmp_path / "text.onnx"))[0] == 1


def test_another_librarys_model_is_told_how_to_be_exported(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "forest.pkl").write_bytes(b"\x80\x05")
    code, text = said(capsys, "import", str(tmp_path / "forest.pkl"))
    assert (code, "mlpatterns.export(model, " in text) == (2, True)


def test_a_file_is_registered_under_a_name_that_models_have(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weighted(tmp_path / "model (1).onnx", 2.0)
    code, text = said(capsys, "import", str(tmp_path / "model (1).onnx"))
    assert (code, text.splitlines()) == (0, ["model_1:1 (champion)", "next: mlpatterns run model_1:1"])
    code, text = said(capsys, "import", str(tmp_path / "model (1).onnx"), "--name", "a b")
    assert (code, "a model cannot be called 'a b': a name is letters" in text) == (2, True)
