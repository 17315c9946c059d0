"""Releases from the command line: what only registers, what moves an alias, and what is refused in which sentence."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from mlpatterns.model_db.importing import import_file
from mlpatterns.model_db.register import Registration, register
from mlpatterns.models import release_checks
from mlpatterns.registry.files import AGAIN
from mlpatterns.registry.golden import Golden, golden_set
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from mlpatterns.user_errors import UnknownName
from releases import Releases
from row_models import weighted
from unit.cli.conftest import Command


def champion(home: Path, name: str = "house") -> str:
    return locate(name, Settings(home=home)).version


def put(mlpatterns: Command, path: Path, *words: str, code: int = 0) -> str:
    """Imports a file as a version of `house`; what was said of it."""
    done = mlpatterns("registry", "import", str(path), "--name", "house", *words)
    assert done.code == code, done
    return done.out + done.err


def test_the_first_version_is_the_champion_and_a_later_one_is_only_registered(
    mlpatterns: Command, home: Path, tmp_path: Path
) -> None:
    assert put(mlpatterns, weighted(tmp_path / "m.onnx")).startswith("house:1 (champion)\n")
    said = "(registered; champion is house:1; `mlpatterns registry alias house:2 champion` releases it)"
    assert put(mlpatterns, weighted(tmp_path / "m.onnx", weight=2.0)).startswith(f"house:2 {said}\n")
    assert champion(home) == "1"
    assert mlpatterns("registry", "alias", "house:2", "champion").out == "house@champion is house:2\n"
    assert mlpatterns("registry", "alias", "house:1", "champion").code == 0  # and back
    assert put(mlpatterns, weighted(tmp_path / "m.onnx", weight=3.0), "--promote").startswith("house:3 (champion)\n")
    assert champion(home) == "3"


BREAKS = (
    "would break the clients of house:1, which champion names: its inputs: 'x' is FP32 [-1, 2], and was FP32 [-1, 3]"
)


def test_an_alias_does_not_move_to_a_version_of_other_inputs_unless_forced(
    mlpatterns: Command, home: Path, tmp_path: Path
) -> None:
    put(mlpatterns, weighted(tmp_path / "m.onnx"))
    put(mlpatterns, weighted(tmp_path / "m.onnx", columns=2))
    done = mlpatterns("registry", "alias", "house:2", "champion")
    assert (done.code, done.err) == (1, f"mlpatterns: house:2 {BREAKS}; --force releases it all the same\n")
    assert champion(home) == "1"
    assert mlpatterns("registry", "alias", "house:2", "champion", "--force").code == 0
    assert champion(home) == "2"


def test_a_promotion_that_is_refused_leaves_the_version_and_the_alias(
    mlpatterns: Command, home: Path, tmp_path: Path
) -> None:
    put(mlpatterns, weighted(tmp_path / "m.onnx"))
    said = put(mlpatterns, weighted(tmp_path / "m.onnx", columns=2), "--promote", code=1)
    assert f"house:2 is registered, not promoted: house:2 {BREAKS}; `mlpatterns registry alias house:2 champion" in said
    assert champion(home) == "1"
    assert locate("house:2", Settings(home=home)).version == "2"
    put(mlpatterns, weighted(tmp_path / "m.onnx", columns=2), "--promote", "--force")
    assert champion(home) == "3"


def test_labels_in_another_order_are_another_contract(mlpatterns: Command, home: Path, tmp_path: Path) -> None:
    for number, words in enumerate(("good\nbad\n", "bad\ngood\n", ""), 1):
        (tmp_path / "labels").write_text(words)
        labels = ("--labels", str(tmp_path / "labels")) if words else ()
        put(mlpatterns, weighted(tmp_path / "m.onnx"), *labels)
        done = mlpatterns("registry", "alias", f"house:{number}", "champion")
        if number == 1:
            assert done.code == 0
        elif number == 2:
            assert "its labels differ: number 0 is 'bad', and was 'good'" in done.err
        else:
            assert "its labels differ: none, and were good, bad" in done.err
    assert champion(home) == "1"


def test_a_model_of_nan_is_registered_and_released_to_nobody_by_default(
    mlpatterns: Command, home: Path, tmp_path: Path
) -> None:
    nan = weighted(tmp_path / "nan.onnx", weight=float("nan"))
    said = put(mlpatterns, nan)
    reason = "it cannot be released: its output 'scores' has NaN for its own sample"
    assert said.startswith(f"house:1 (registered; there is no champion; {reason})\n")
    with pytest.raises(UnknownName, match=r"`mlpatterns registry alias house:1 champion` lets it name the latest"):
        champion(home)
    assert "cannot be released: its output 'scores' has NaN" in mlpatterns("registry", "alias", "house:1", "next").err
    assert put(mlpatterns, weighted(tmp_path / "m.onnx")).startswith("house:2 (champion)")
    assert "not promoted: house:3 cannot be released: its output" in put(mlpatterns, nan, "--promote", code=1)
    assert mlpatterns("registry", "alias", "house:3", "champion").code == 1
    assert champion(home) == "2"
    assert mlpatterns("registry", "alias", "house:3", "champion", "--force").code == 0


def test_a_sample_becomes_the_golden_set_and_the_sample(mlpatterns: Command, home: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b,c\n" + "".join(f"{row},{row},1\n" for row in range(100)))
    put(mlpatterns, weighted(tmp_path / "m.onnx"), "--sample", str(rows))
    files = locate("house", Settings(home=home))
    golden = golden_set(files)
    assert golden is not None
    assert golden.inputs["x"].shape == (24, 3)
    assert golden.inputs["x"][[0, -1]].tolist() == [[0.0, 0.0, 1.0], [99.0, 99.0, 1.0]]
    assert golden.outputs["scores"][-1].tolist() == [199.0, 398.0]
    assert files.metadata is not None
    assert files.metadata.sample is not None
    assert files.metadata.sample["x"].tolist() == [[0.0, 0.0, 1.0]]


def test_a_sample_that_does_not_fit_registers_nothing(mlpatterns: Command, home: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("1,2\n")
    said = put(mlpatterns, weighted(tmp_path / "m.onnx"), "--sample", str(tmp_path / "rows.csv"), code=2)
    assert "the sample rows.csv has 2 columns, and the model takes 3" in said
    assert not (home / "registry.db").exists()


def test_a_version_that_does_not_answer_its_golden_set_is_refused(mlpatterns: Command, home: Path) -> None:

    made = Releases(home)
    made.publish(10.0)
    made.publish(20.0, promote=False, golden=Golden(1e-6, {"x": [[1.0]]}, {"y": [[21.0]]}))
    done = mlpatterns("registry", "alias", "times:2", "champion")
    assert (done.code, "its output 'y' differs from its golden set" in done.err) == (1, True)
    assert champion(home, "times") == "1"


def test_damaged_files_are_not_released_and_do_not_stop_a_rollback(
    mlpatterns: Command, home: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        put(mlpatterns, weighted(tmp_path / "m.onnx"))
    locate("house:2", Settings(home=home)).model.write_bytes(b"what a broken disk gives back")
    done = mlpatterns("registry", "alias", "house:2", "champion")
    assert done.err == (
        f"mlpatterns: house:2 cannot be released: house:2: model.onnx does not match its SHA-256; {AGAIN}; "
        "--force releases it all the same\n"
    )
    assert mlpatterns("registry", "alias", "house:2", "champion", "--force").code == 0
    assert mlpatterns("registry", "alias", "house:1", "champion").code == 0


def measured(home: Path, *accuracies: float) -> list[str]:
    """Versions of `house` with these accuracies, none promoted; what is said of each."""

    file = weighted(home.parent / "m.onnx")
    import_file(file, "template", settings=Settings(home=home))
    folder = locate("template", Settings(home=home)).folder
    assert folder is not None
    files = {name: (folder / name).read_bytes() for name in ("model.onnx", "metadata.json", "golden.json")}
    words = f"45 rows of iris sha256:{'a' * 64}"
    entries = [Registration("house", files, evaluations={"accuracy": each}, test_dataset=words) for each in accuracies]
    return [register(each, Settings(home=home)).behind for each in entries]


def test_a_version_that_is_far_worse_is_told_when_it_is_registered_and_when_it_is_released(
    mlpatterns: Command, home: Path
) -> None:
    sentence = "accuracy 0.71 is far below the champion's 0.96 (house:1)"
    assert measured(home, 0.96, 0.71, 0.93) == ["", sentence, ""]
    done = mlpatterns("registry", "alias", "house:2", "champion")
    assert (done.code, done.err) == (
        1, f"mlpatterns: {sentence}: look before you release it; --force releases it all the same\n"
    )  # fmt: skip
    assert mlpatterns("registry", "alias", "house:3", "champion").code == 0
    assert mlpatterns("registry", "alias", "house:2", "champion", "--force").code == 0


def test_an_alias_that_moved_during_the_check_is_not_moved_from_what_nobody_compared(
    mlpatterns: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Releases(home)
    for number in range(3):
        made.publish(10.0 * number, promote=False)

    def slow(*_: object) -> int:
        made.point(2)  # somebody else, meanwhile
        return 1

    monkeypatch.setattr(release_checks, "check_release", slow)
    done = mlpatterns("registry", "alias", "times:3", "champion")
    assert (done.code, "names version 2 now, which was not expected" in done.err) == (1, True)
    assert champion(home, "times") == "2"


def test_what_onnx_runtime_says_of_a_model_that_fails_is_no_traceback(
    mlpatterns: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for logger in (
        logging.getLogger(),
        logging.getLogger("mlpatterns"),
    ):  # as in a process of its own: no log is set up
        monkeypatch.setattr(logger, "handlers", [])
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [7, 11])
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y")]
    made = helper.make_graph([node], "g", infos[:1], infos[1:], [shape])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "fails.onnx").write_bytes(model.SerializeToString())
    done = mlpatterns("registry", "import", str(tmp_path / "fails.onnx"))
    assert (done.code, "it does not answer its own sample: the model failed" in done.out) == (0, True)
    assert "cannot be reshaped to the requested shape" in done.err
    assert "Traceback" not in done.err
    assert not [line for line in done.err.splitlines() if line.startswith(" ")]
