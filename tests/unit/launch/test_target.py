"""What `run` can serve, and what it says of what it cannot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlpatterns.launch.target import load_target, registered_models, source_of
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.pieces.batcher.batcher import Batcher
from mlpatterns.runtime import roots_of
from mlpatterns.server.app import App
from mlpatterns.server.servable import PlainApp
from mlpatterns.user_errors import NotOffered, SettingsError, UnknownName, UserError, WrongUse

OWN = """
import helper_of_mine
from mlpatterns import PythonModel, TensorSpec, serve

def build():
    return PythonModel(lambda: None, lambda _, inputs: inputs, name=helper_of_mine.NAME,
                       inputs=[TensorSpec("x", "FP32", (-1, 1))], outputs=[TensorSpec("x", "FP32", (-1, 1))])

app = serve(build)
model = build()
several = [build()]
made = {"mine": build()}
class Own(type(model)):
    def __init__(self): super().__init__(predict=lambda inputs: inputs, name=helper_of_mine.NAME,
                       inputs=[TensorSpec("x", "FP32", (-1, 1))], outputs=[TensorSpec("x", "FP32", (-1, 1))])
text = "no app"
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A user's file with a module beside it; nothing of either stays behind."""
    path, modules = list(sys.path), set(sys.modules)
    (tmp_path / "own_system.py").write_text(OWN)
    (tmp_path / "helper_of_mine.py").write_text("NAME = 'mine'\n")
    yield tmp_path / "own_system.py"
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name in ("own_system", "helper_of_mine"):
            del sys.modules[name]


def built_name(app: App | PlainApp) -> str:
    assert isinstance(app, App)
    built = roots_of(app.build())
    name: str = built[0].name
    return name


@pytest.mark.parametrize("name", ["web_single", "Web-Single-Pattern"])
def test_a_pattern_is_served_by_name_or_alias(name: str) -> None:
    assert built_name(load_target(name)) == "iris_sklearn_svc"


@pytest.mark.parametrize("attribute", ["", ":app", ":build", ":model", ":several", ":made", ":Own"])
def test_a_file_is_served_by_its_app_its_build_function_or_predictors(own: Path, attribute: str) -> None:
    assert built_name(load_target(f"{own}{attribute}")) == "mine"


def test_without_an_app_the_build_function_is_taken(own: Path) -> None:
    own.write_text(OWN.replace("app = serve(build)", ""))
    assert built_name(load_target(str(own))) == "mine"


def test_an_onnx_file_is_served_with_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labels.json").write_text('["a", "b"]')
    monkeypatch.setenv("MLPATTERNS_LABELS", str(tmp_path / "labels.json"))
    app = load_target("some/model.onnx")
    assert isinstance(app, App)
    built = app.build()
    assert isinstance(built, OnnxModel)
    assert (built.name, built.overrides.labels) == ("model", ("a", "b"))


def test_an_onnx_file_is_asked_in_batches_where_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_BATCHING", "true")
    monkeypatch.setenv("MLPATTERNS_MAX_BATCH_SIZE", "8")
    app = load_target("some/model.onnx")
    assert isinstance(app, App)
    built = app.build()
    assert isinstance(built, Batcher)
    assert (built.name, built.max_batch_size) == ("model", 8)


@pytest.mark.parametrize(("setting", "flag"), [("MODEL", "--model"), ("LABELS", "--labels")])
def test_a_choice_that_a_pattern_does_not_take_is_refused(
    setting: str, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MLPATTERNS_{setting}", "iris_sklearn_svc")
    with pytest.raises(SettingsError, match=f"horizontal_microservice has its own models and accepts no {flag}"):
        load_target("horizontal_microservice")


@pytest.mark.parametrize("name", ["web_single", "synchronous", "prediction_cache"])
def test_patterns_of_one_model_take_another(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_MODEL", "other")
    app = load_target(name)
    assert isinstance(app, App)
    assert {str(reference) for reference in registered_models(app)} == {"other@champion"}


def test_an_onnx_file_and_another_model_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_MODEL", "other")
    with pytest.raises(SettingsError, match="two models"):
        load_target("model.onnx")


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "are empty"), ("[1, 2]", "have 1 where a name should be"), ("[", "are not valid JSON")],
)
def test_labels_that_are_none_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    (tmp_path / "labels").write_text(content)
    monkeypatch.setenv("MLPATTERNS_LABELS", str(tmp_path / "labels"))
    with pytest.raises(SettingsError, match=said):
        load_target("model.onnx")


def test_labels_that_are_missing_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_LABELS", "nowhere.txt")
    with pytest.raises(SettingsError, match=r"nowhere\.txt cannot be read: No such file"):
        load_target("model.onnx")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere.py", "there is no file nowhere.py"),
        ("some/folder", "neither a .py nor an .onnx file"),
        ("{own}:nonsense", "has no nonsense"),
        ("{own}:text", "is not an app"),
    ],
)
def test_what_is_not_there_is_one_sentence(own: Path, target: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_target(target.format(own=own))


def test_a_file_of_another_kind_is_no_name_that_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("house.bin").write_bytes(b"x")
    with pytest.raises(WrongUse, match=r"house\.bin is neither a \.py nor an \.onnx file"):
        load_target("house.bin")
    with pytest.raises(WrongUse, match=r'xgboost\.Booster\(model_file="house\.model"\)'):
        load_target("house.model")


def test_an_unknown_name_is_suggested_and_one_without_an_app_is_said() -> None:
    with pytest.raises(UnknownName, match="did you mean 'web_single'"):
        load_target("web_singel")
    with pytest.raises(NotOffered, match=r"has no app; .*web_single.* has"):
        load_target("iris_sklearn_svc")


def test_an_error_in_the_users_file_is_shown_as_their_traceback_alone(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own.write_text("def wrong():\n    return 1 / 0\n\nwrong()\n")
    with pytest.raises(UserError, match="failed to load; the traceback above shows why"):
        load_target(str(own))
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "line 2, in wrong" in shown
    assert "importlib" not in shown
    assert "launch/target.py" not in shown


def test_a_syntax_error_in_the_users_file_is_shown_too(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own.write_text("def (\n")
    with pytest.raises(UserError, match="failed to load"):
        load_target(str(own))
    shown = capsys.readouterr().err
    assert "SyntaxError" in shown
    assert "launch/target.py" not in shown


@pytest.mark.parametrize("name", ["json.py", "numpy.py"])
def test_a_file_that_would_hide_another_module_is_refused(tmp_path: Path, name: str) -> None:
    assert name == "json.py" or "numpy" in sys.modules
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match="rename it"):
        load_target(str(tmp_path / name))


def test_what_watches_for_changes_gets_the_file_of_a_pattern() -> None:
    assert source_of("web-single").endswith("patterns/serving/web_single.py")
    assert source_of("own.py:app") == "own.py:app"
    assert source_of("a/model.onnx") == "a/model.onnx"
