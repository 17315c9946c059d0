"""The models of a project: copied whole, described beside, refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import odd_models
from mlpatterns.metadata import TensorSpec
from mlpatterns.model_db.importing import import_file
from mlpatterns.references import FileReference, RegisteredReference
from mlpatterns.registry.files import digest, dump_metadata, load_metadata, metadata_path, unregistered_files
from mlpatterns.scaffold.models import copy_model, file_name
from mlpatterns.settings import Settings
from mlpatterns.user_errors import ModelFileError, SettingsError, UserError
from weighted import weighted


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_the_copy_is_the_file_and_its_metadata_say_what_the_graph_says(
    tmp_path: Path, folder: Path, settings: Settings
) -> None:
    labels = odd_models.texts(tmp_path / "my words.onnx")
    copied = copy_model(FileReference(tmp_path / "my words.onnx"), folder, settings, {"labels": labels})
    assert (copied.name, copied.origin) == ("my_words", "your file")
    assert sorted(path.name for path in folder.iterdir()) == ["my_words.metadata.json", "my_words.onnx"]
    assert copied.sha256 == digest(folder / "my_words.onnx") == digest(tmp_path / "my words.onnx")
    written = load_metadata(metadata_path(folder / "my_words.onnx"))
    assert written.inputs == (TensorSpec("word", "BYTES", (-1, 1)),)
    assert (written.primary_output, written.labels) == ("scores", labels)
    assert written.sample is not None
    assert written.sample["word"].tolist() == [[b""]]


def test_metadata_that_lie_beside_the_file_come_along(tmp_path: Path, folder: Path, settings: Settings) -> None:
    path = tmp_path / "logs.onnx"
    odd_models.logarithm(path)
    copy_model(FileReference(path), folder, settings)
    described = load_metadata(metadata_path(folder / "logs.onnx"))
    named = described.__class__(**{
        **{name: getattr(described, name) for name in described.__struct_fields__},
        "inputs": (TensorSpec("x", "FP32", (-1, 2), fields=("length", "width")),),
        "sample": {"x": np.array([[2.0, 3.0]], np.float32)},
    })  # fmt: skip
    metadata_path(path).write_bytes(dump_metadata(named))
    (folder / "again").mkdir()
    again = copy_model(FileReference(path), folder / "again", settings).metadata
    assert again.inputs[0].fields == ("length", "width")
    assert again.sample is not None
    assert again.sample["x"].tolist() == [[2.0, 3.0]]


def test_a_sample_that_gives_no_number_is_none(tmp_path: Path, folder: Path, settings: Settings) -> None:
    """Zeros first, then ones; with neither, no sample."""
    odd_models.logarithm(tmp_path / "log.onnx")
    described = copy_model(FileReference(tmp_path / "log.onnx"), folder, settings).metadata
    assert described.sample is not None
    assert described.sample["x"].tolist() == [[1.0, 1.0]]
    odd_models.no_number(tmp_path / "nan.onnx")
    assert copy_model(FileReference(tmp_path / "nan.onnx"), folder, settings).metadata.sample is None


def test_weights_beside_the_file_are_copied_too(tmp_path: Path, folder: Path, settings: Settings) -> None:
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1, 2], np.ones(2, np.float32).tobytes(), raw=True)
    nodes = [onnx.helper.make_node("Add", ["x", "w"], ["y"])]
    sides = {"x": (onnx.TensorProto.FLOAT, ["n", 2])}, {"y": (onnx.TensorProto.FLOAT, ["n", 2])}
    odd_models.save(tmp_path / "big.onnx", nodes, *sides, weights)
    onnx.save(onnx.load(tmp_path / "big.onnx"), tmp_path / "big.onnx", save_as_external_data=True,
              location="big.onnx.data", size_threshold=0)  # fmt: skip
    copy_model(FileReference(tmp_path / "big.onnx"), folder, settings)
    assert (folder / "big.onnx.data").read_bytes() == (tmp_path / "big.onnx.data").read_bytes()


def test_of_a_registered_model_its_weights_come_too_and_belong_to_its_digest(
    tmp_path: Path, folder: Path, settings: Settings
) -> None:
    exported = weighted(tmp_path / "m.onnx", 2.0, "deep/w.bin")
    import_file(exported, "times", settings=settings)
    copied = copy_model(RegisteredReference("times"), folder, settings)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"times.onnx", "times.metadata.json", "times.golden.json", "deep/w.bin"}
    assert copied.sha256 == unregistered_files(folder / "times.onnx").sha256 == unregistered_files(exported).sha256
    assert unregistered_files(folder / "times.onnx").version == "1"


def test_two_models_whose_weights_have_one_name_are_refused(tmp_path: Path, folder: Path, settings: Settings) -> None:
    copy_model(FileReference(weighted(tmp_path / "one" / "one.onnx", 2.0)), folder, settings)
    with pytest.raises(UserError, match=r"two keeps weights in weights\.bin, which .* has already for one\.onnx"):
        copy_model(FileReference(weighted(tmp_path / "two" / "two.onnx", 5.0)), folder, settings)
    assert not (folder / "two.onnx").exists()


@pytest.mark.parametrize(
    ("make", "labels", "said"),
    [
        (odd_models.texts, ("one",), "the number of labels is 1, but the model's 'scores' has 2 scores a row"),
        (
            odd_models.picture,
            ("a", "b"),
            r"the number of labels is 2, but the model's '\w+' has (\d+ scores a row|the shape)",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, folder: Path, settings: Settings, make: odd_models.Make, labels: tuple[str, ...], said: str
) -> None:
    make(tmp_path / "model.onnx")
    with pytest.raises(SettingsError, match=said):
        copy_model(FileReference(tmp_path / "model.onnx"), folder, settings, {"labels": labels})
    assert list(folder.iterdir()) == []


def test_what_is_no_model_and_what_is_not_there_is_refused(tmp_path: Path, folder: Path, settings: Settings) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelFileError, match=r"text\.onnx is not a model that ONNX Runtime can load"):
        copy_model(FileReference(tmp_path / "text.onnx"), folder, settings)
    with pytest.raises(ModelFileError, match="there is no model file"):
        copy_model(FileReference(tmp_path / "absent.onnx"), folder, settings)


def test_two_models_of_one_name_are_refused(tmp_path: Path, folder: Path, settings: Settings) -> None:
    odd_models.vector(tmp_path / "a b.onnx")
    odd_models.vector(tmp_path / "a_b.onnx")
    copy_model(FileReference(tmp_path / "a b.onnx"), folder, settings)
    with pytest.raises(UserError, match=r"two models of this project would be called a_b; rename a_b\.onnx"):
        copy_model(FileReference(tmp_path / "a_b.onnx"), folder, settings)


def test_a_registered_model_keeps_its_name_in_the_project() -> None:
    assert file_name(RegisteredReference("iris")) == "iris"
    assert file_name(RegisteredReference("iris", "challenger")) == "iris@challenger"
    assert file_name(RegisteredReference("iris", version=3)) == "iris:3"
