"""Several ONNX files in one server, what is said of other libraries' files, and what is watched for changes."""

from __future__ import annotations

import ast
import asyncio
import os
from pathlib import Path

import pytest

from mlpatterns.launch.export_lines import export_lines
from mlpatterns.launch.file_watcher import FileWatcher
from mlpatterns.launch.target import SEVERAL, load_target, source_of
from mlpatterns.pieces.batcher.batcher import Batcher
from mlpatterns.server.app import App
from mlpatterns.testing import client
from mlpatterns.user_errors import SettingsError, UserError
from releases import graph
from weighted import weighted


def files(folder: Path, *names: str) -> list[str]:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(graph(2.0 + number))
    return [str(folder / name) for name in names]


def test_each_is_served_by_its_own_name(tmp_path: Path) -> None:
    app = load_target(SEVERAL.join(files(tmp_path, "a.onnx", "in/b.onnx")))
    assert isinstance(app, App)

    async def main() -> list[object]:
        async with client(app.build) as http:
            answers = [(await http.post(f"/models/{name}/predict", json={"data": [[3]]})).json() for name in "ab"]
            ready = (await http.get("/v2/models/b/ready")).status_code
            return [*(answer["prediction"] for answer in answers), ready]

    assert asyncio.run(main()) == [[6.0], [9.0], 200]


def test_each_is_asked_in_batches_where_that_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_BATCHING", "true")
    app = load_target(SEVERAL.join(files(tmp_path, "a.onnx", "b.onnx")))
    assert isinstance(app, App)
    built = app.build()
    assert isinstance(built, dict)
    assert {name: type(model) for name, model in built.items()} == {"a": Batcher, "b": Batcher}


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"would both be served as a; rename one of them"):
        load_target(SEVERAL.join(files(tmp_path, "a.onnx", "in/a.onnx")))


@pytest.mark.parametrize("other", ["web_single", "app.py", "m.pkl"])
def test_files_of_other_kinds_are_not_served_beside(tmp_path: Path, other: str) -> None:
    with pytest.raises(UserError, match=r"several targets must all be \.onnx files"):
        load_target(SEVERAL.join([*files(tmp_path, "a.onnx"), other]))


def test_what_describes_one_model_is_refused_and_says_where_to_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLPATTERNS_LABELS", "labels.txt")
    with pytest.raises(SettingsError, match=r"--labels describes one model, .* into the a\.metadata\.json beside each"):
        load_target(SEVERAL.join(files(tmp_path, "a.onnx", "b.onnx")))


def test_their_source_is_their_text() -> None:
    assert source_of("a.onnx\nb.onnx") == "a.onnx\nb.onnx"


# ---- files of other libraries --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("m.pkl", "pickle"), ("m.pickle", "pickle"), ("m.joblib", "joblib"), ("m.pt", "torch"), ("m.pth", "torch"),
        ("m.safetensors", "safetensors"), ("m.json", "xgboost"), ("m.ubj", "xgboost"), ("m.txt", "lightgbm"),
        ("in/M.PKL", "pickle"),
    ],
)  # fmt: skip
def test_another_library_s_file_is_answered_with_the_lines_that_export_it(name: str, library: str) -> None:
    with pytest.raises(UserError) as raised:
        load_target(name)
    said, *lines = str(raised.value).splitlines()
    assert said.startswith(f"{name} is ")
    assert len(lines) == 3
    assert library in lines[0]
    assert f'mlpatterns.export(model, "{Path(name).stem}.onnx", sample)' in lines[2]
    ast.parse("\n".join(line.strip() for line in lines))


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m.cbm", "saved/saved_model.pb", "m.tflite"])
def test_what_another_tool_exports_is_answered_with_its_lines(name: str) -> None:
    said = export_lines(name) or ""
    assert said.count("\n") >= 2
    assert ".onnx" in said.splitlines()[-1]


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "ran") + b"'\ntR.")
    with pytest.raises(UserError, match="is a pickle"):
        load_target(str(tmp_path / "m.pkl"))
    assert not (tmp_path / "ran").exists()


# ---- what is watched -----------------------------------------------------------------------------------------------


def later(path: Path) -> None:
    """Its time is another one."""
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 5))


def test_every_file_a_target_is_made_of_is_watched_and_no_other(tmp_path: Path) -> None:
    one, two = files(tmp_path, "one/a.onnx", "two/b.onnx")
    weighted(tmp_path / "one" / "w.onnx", 2.0, "w.bin")
    for name in ("one/helper.py", "two/b.metadata.json", "one/notes.json"):
        (tmp_path / name).write_text("")
    watched = FileWatcher([one, two, str(tmp_path / "one" / "w.onnx")])
    assert not watched.changed()
    for name in ("one/a.onnx", "two/b.onnx", "one/w.bin", "one/helper.py", "two/b.metadata.json"):
        later(tmp_path / name)
        assert watched.changed(), name
        assert not watched.changed()
    later(tmp_path / "one" / "notes.json")
    assert not watched.changed()
    (tmp_path / "one" / "w.bin").unlink()
    assert watched.changed()


def test_a_file_that_is_removed_while_it_is_looked_at_is_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As between two steps of an editor that writes a file anew."""
    for name in ("app.py", "helper.py"):
        (tmp_path / name).write_text("")
    watched = FileWatcher([str(tmp_path / "app.py")])
    (tmp_path / "helper.py").unlink()
    (tmp_path / "helper.py").symlink_to("nowhere.py")  # it is listed, but has no time
    monkeypatch.setattr(Path, "is_file", lambda path: True)  # as it was a moment before
    assert watched.changed()
    assert not watched.changed()


def test_hidden_folders_are_not_watched(tmp_path: Path) -> None:
    for name in ("app.py", ".venv/lib.py", ".hidden.py", "in/.git/hook.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    watched = FileWatcher([str(tmp_path / "app.py")])
    for name in (".venv/lib.py", ".hidden.py", "in/.git/hook.py"):
        later(tmp_path / name)
    assert not watched.changed()


def test_a_python_file_is_watched_by_its_folder_with_or_without_an_attribute(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    for target in (tmp_path / "app.py", f"{tmp_path / 'app.py'}:app"):
        watched = FileWatcher([str(target)])
        later(tmp_path / "app.py")
        assert watched.changed()
