"""A model whose weights lie in other files, brought to where a server loads it: whole, checked, none mixed up."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlpatterns.model_db.importing import import_file
from mlpatterns.models.onnx.options import SessionConfig
from mlpatterns.models.onnx.session import open_session
from mlpatterns.registry.digests import identity_of
from mlpatterns.registry.files import digest, unregistered_files
from mlpatterns.registry.loader import load_model
from mlpatterns.registry.locate import locate
from mlpatterns.registry.weights import weight_contents
from mlpatterns.settings import Settings
from mlpatterns.user_errors import ModelFileError, UserError
from unit.models.test_onnx_weights import answered
from weighted import weighted


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def goal(tmp_path: Path) -> Path:
    return tmp_path / "goal"


def source(tmp_path: Path, name: str, factor: float, location: str = "weights.bin") -> Path:
    return weighted(tmp_path / "exported" / f"{name}{factor}" / f"{name}.onnx", factor, location)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_identity_is_a_digest_of_all_files_by_name() -> None:
    assert identity_of("a", {}) == "a"
    whole = identity_of("a", {"w": "1", "v": "2"})
    assert whole == identity_of("a", {"v": "2", "w": "1"})
    assert len({whole, identity_of("a", {"w": "2", "v": "1"}), identity_of("b", {"w": "1", "v": "2"})}) == 3


@pytest.mark.parametrize("location", ["weights.bin", "deep/er/weights.bin"])
def test_from_the_registry_it_comes_with_its_weights_and_answers_as_it_did(
    tmp_path: Path, settings: Settings, goal: Path, location: str
) -> None:
    exported = source(tmp_path, "m", 2.0, location)
    import_file(exported, "m", settings=settings)
    loaded = load_model("m", goal, settings=settings, sha256=unregistered_files(exported).sha256)
    assert names(goal) == sorted([location, "m.golden.json", "m.metadata.json", "m.onnx"])
    assert loaded.sha256 == unregistered_files(loaded.model).sha256 == locate("m", settings).sha256
    assert answered(loaded.model)[0] == 6.0


def test_a_version_with_other_weights_takes_the_place_of_the_one_before(
    tmp_path: Path, settings: Settings, goal: Path
) -> None:
    for factor, location in ((2.0, "weights.bin"), (5.0, "weights.bin"), (7.0, "others.bin")):
        import_file(source(tmp_path, "m", factor, location), "m", settings=settings, promote=True)
        loaded = load_model("m", goal, settings=settings)
        assert answered(loaded.model)[0] == 3 * factor
    assert names(goal) == ["m.golden.json", "m.metadata.json", "m.onnx", "others.bin"]


def test_while_its_weights_are_replaced_there_is_no_model_that_would_be_a_mixture(
    tmp_path: Path, settings: Settings, goal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for factor in (2.0, 5.0):
        import_file(source(tmp_path, "m", factor), "m", settings=settings)
    load_model("m:1", goal, settings=settings)

    def full(path: Path, content: bytes) -> None:
        if path.name == "weights.bin":
            path.write_bytes(content)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("mlpatterns.registry.loader.write_whole", full)
    with pytest.raises(UserError, match="no space left"):
        load_model("m:2", goal, settings=settings)
    assert not (goal / "m.onnx").exists()


def test_two_models_whose_weights_have_one_name_do_not_share_a_folder(
    tmp_path: Path, settings: Settings, goal: Path
) -> None:
    load_model(f"file:{source(tmp_path, 'one', 2.0)}", goal, settings=settings)
    other = f"file:{source(tmp_path, 'two', 5.0)}"
    with pytest.raises(UserError, match=r"two keeps weights in weights\.bin, which .* has already for one\.onnx"):
        load_model(other, goal, settings=settings)
    assert names(goal) == ["one.onnx", "weights.bin"]
    assert answered(goal / "one.onnx")[0] == 6.0
    load_model(other, goal / "two", settings=settings)
    assert answered(goal / "two" / "two.onnx")[0] == 15.0


def test_they_share_one_where_the_bytes_are_the_same_and_keep_it_from_each_other(
    tmp_path: Path, settings: Settings, goal: Path
) -> None:
    for name in ("one", "two"):
        load_model(f"file:{source(tmp_path, name, 2.0)}", goal, settings=settings)
    load_model(f"file:{source(tmp_path, 'two', 2.0, 'own.bin')}", goal, settings=settings)
    assert answered(goal / "one.onnx")[0] == answered(goal / "two.onnx")[0] == 6.0


def test_a_file_of_somebody_else_is_not_written_over(tmp_path: Path, settings: Settings, goal: Path) -> None:
    goal.mkdir()
    (goal / "weights.bin").write_text("notes")
    with pytest.raises(UserError, match=r"weights\.bin, which .* has already for something else"):
        load_model(f"file:{source(tmp_path, 'm', 2.0)}", goal, settings=settings)
    assert (goal / "weights.bin").read_text() == "notes"


@pytest.mark.parametrize("location", ["model.onnx", "m.metadata.json", "deep/golden.JSON"])
def test_weights_that_would_take_the_place_of_what_is_ours_are_refused(
    tmp_path: Path, settings: Settings, goal: Path, location: str
) -> None:
    exported = source(tmp_path, "x", 2.0, location)
    with pytest.raises(ModelFileError, match="export it with a name for them that does not end with"):
        load_model(f"file:{exported}", goal, settings=settings)
    with pytest.raises(ModelFileError, match="export it with a name for them that does not end with"):
        import_file(exported, "x", settings=settings)


def test_by_an_address_its_weights_come_too_and_belong_to_its_digest(
    tmp_path: Path, settings: Settings, goal: Path
) -> None:
    exported = source(tmp_path, "m", 2.0, "deep/weights.bin")
    loaded = load_model(exported.as_uri(), goal, settings=settings, sha256=unregistered_files(exported).sha256)
    assert answered(loaded.model)[0] == 6.0
    with pytest.raises(ModelFileError, match=r"has the SHA-256 \w+ with its weights, not"):
        load_model(exported.as_uri(), goal, settings=settings, sha256=digest(exported))
    exported.with_name("deep").rename(tmp_path / "elsewhere")
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_model(exported.as_uri(), goal, settings=settings, sha256=unregistered_files(loaded.model).sha256)


def test_what_the_registry_has_is_held_against_its_digest_at_every_load(tmp_path: Path, settings: Settings) -> None:
    made = import_file(source(tmp_path, "m", 2.0), "m", settings=settings)
    (made.made.folder / "weights.bin").write_bytes(b"unused  \0\0\0\0")
    with pytest.raises(ModelFileError, match=r"m:1: weights\.bin does not match its SHA-256"):
        locate("m", settings)


def test_weights_that_change_between_check_and_load_are_not_served(tmp_path: Path) -> None:
    path = source(tmp_path, "m", 2.0)
    files = unregistered_files(path)
    weighted(path, 5.0)
    with pytest.raises(ModelFileError, match=r"m: weights\.bin was changed while it was read; try again"):
        open_session(files, "m", SessionConfig(), 1)


def test_a_file_of_weights_may_be_empty(tmp_path: Path) -> None:
    path = source(tmp_path, "m", 2.0)
    path.with_name("weights.bin").write_bytes(b"")
    assert weight_contents(unregistered_files(path)) == {"weights.bin": b""}
