"""`mlpatterns image build`: what it refuses, in one sentence, before any package is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlpatterns.cli import main
from mlpatterns.release.context import ImageContext, PackedModel

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(
        "from mlpatterns import OnnxModel\n\n\ndef build():\n    return OnnxModel('none')\n"
    )
    (tmp_path / "outside.py").write_text(
        "from mlpatterns import OnnxModel\n\n\ndef build():\n    return OnnxModel('file:/etc/passwd')\n"
    )
    (tmp_path / "broken.py").write_text("nothing_of_the_kind\n")
    (tmp_path / "plain.py").write_text("async def app(scope, receive, send):\n    pass\n")
    (tmp_path / "hidden.py").write_text(
        "from mlpatterns import OnnxModel\n\nLEAF = OnnxModel\n\n\ndef build():\n    return LEAF('none')\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["web_single"], 1, "there is no model 'iris_sklearn_svc'"),
        (["web_singel"], 2, "did you mean 'web_single'?"),
        (["iris_sklearn_svc"], 2, "iris_sklearn_svc has no app"),
        (["horizontal_microservice", "--model", "iris"], 2, "takes no other model than its own; leave --model out"),
        (["app.py", "--model", "iris"], 2, "app.py takes no other model than its own"),
        (["model.onnx", "--model", "iris"], 2, "--model and model.onnx name two models; remove one of them"),
        (["m.joblib"], 2, 'mlpatterns.export(model, "m.onnx", sample)'),
        (["nowhere.py"], 2, "there is no file nowhere.py"),
        (["app.py"], 1, "there is no model 'none'"),
        (["hidden.py"], 1, "there is no model 'none'"),
        (["outside.py"], 1, "the model /etc/passwd lies outside of the app's folder"),
        (["broken.py"], 1, "broken.py failed to load; the traceback above shows why"),
        (["plain.py"], 1, "plain.py is not an app of mlpatterns"),
        (["web_single", "--base", "$(evil)"], 2, "'$(evil)' is not an image name; write one like python:3."),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_no_context(
    tmp_path: Path, capsys: Capture, words: list[str], code: int, sentence: str
) -> None:
    assert main(["image", "build", *words, "--context-only", "context"]) == code
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "context").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "mine").write_text("mine")
    assert main(["image", "build", "app.py", "--context-only", "context"]) == 2
    assert "context is not empty, and nothing is overwritten" in capsys.readouterr().err
    assert (tmp_path / "context" / "mine").read_text() == "mine"


@pytest.mark.parametrize(("tag", "printed"), [((), "my-digits:3"), (("--tag", "team/iris:1"), "team/iris:1")])
def test_the_next_command_has_the_tag_that_was_given(
    tag: tuple[str, ...], printed: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Without one, the tag is the name and the version of the model. The folder is quoted for a shell."""

    def made(_: str, folder: Path, **options: object) -> ImageContext:
        return ImageContext(folder, "My Digits", "python", "app.py", (PackedModel("digits", "3", "0" * 64),), (), {})

    monkeypatch.setattr("mlpatterns.release.context.image_context", made)
    assert main(["image", "build", "web_single", *tag, "--context-only", "a folder"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"next: docker build --tag {printed} 'a folder'"


def test_where_nothing_builds_it_says_so_before_anything_is_put_together(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("mlpatterns.release.engines.shutil.which", lambda name: None)
    assert main(["image", "build", "web_single"]) == 1
    assert "no docker, podman or buildah here" in capsys.readouterr().err
