"""In what two versions differ for their clients, and what is known of one without its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mlpatterns.metadata import TensorSpec
from mlpatterns.model_db.register import Registration, register
from mlpatterns.registry.signature import Signature, difference, signature_of
from mlpatterns.settings import Settings
from mlpatterns.stores.registry import VersionFiles
from mlpatterns.user_errors import ModelFileError
from unit.model_db.conftest import metadata

X, Y = TensorSpec("x", "FP32", (-1, 2), fields=("a", "b")), TensorSpec("y", "FP32", (-1, 2))
OTHER = TensorSpec("z", "INT64", (-1,))
BEFORE = Signature((X,), (Y,), "y", ("no", "yes"))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({}, ""),
        ({"inputs": (replace(X, shape=(-1, 3), fields=()),)}, "its inputs: 'x' is FP32 [-1, 3], and was FP32 [-1, 2]"),
        ({"inputs": (replace(X, datatype="FP64"),)}, "its inputs: 'x' is FP64 [-1, 2], and was FP32 [-1, 2]"),
        ({"inputs": (X, OTHER)}, "its inputs are 'x' (FP32 [-1, 2]), 'z' (INT64 [-1]), and were 'x' (FP32 [-1, 2])"),
        ({"inputs": (replace(X, name="w"),)}, "its inputs are 'w' (FP32 [-1, 2]), and were 'x' (FP32 [-1, 2])"),
        (
            {"inputs": (replace(X, fields=("b", "a")),)},
            "its inputs: 'x' has other columns: number 0 is 'b', and was 'a'",
        ),
        ({"inputs": (replace(X, fields=()),)}, "its inputs: 'x' has other columns: none, and were a, b"),
        ({"inputs": (replace(X, missing=True),)}, "its inputs: 'x' accepts missing values, and did not"),
        ({"inputs": (replace(X, content="image"),)}, "its inputs: 'x' holds a image, and held a tensor"),
        ({"outputs": (replace(Y, shape=(-1, 3)),)}, "its outputs: 'y' is FP32 [-1, 3], and was FP32 [-1, 2]"),
        ({"labels": ("yes", "no")}, "its labels differ: number 0 is 'yes', and was 'no'"),
        ({"labels": ()}, "its labels differ: none, and were no, yes"),
        ({"primary_output": "z"}, "its primary output is 'z', and was 'y'"),
    ],
)
def test_what_differs_is_named(changed: dict[str, Any], sentence: str) -> None:
    assert difference(BEFORE, replace(BEFORE, **changed)) == sentence


def test_outputs_in_another_order_and_long_lists_are_said_shortly() -> None:
    both = replace(BEFORE, outputs=(Y, OTHER))
    turned = replace(BEFORE, outputs=(OTHER, Y))
    assert difference(both, turned) == "its outputs come in the order z, y, and came in y, z"
    many = replace(BEFORE, labels=tuple(map(str, range(1000))))
    assert difference(BEFORE, many).endswith("7, 8, 9 and 990 more, and were no, yes")


@pytest.fixture
def placed(tmp_path: Path, entry: Registration, url: str) -> tuple[Settings, VersionFiles, Path]:
    """A registered version: settings, what the registry says of it, its folder."""
    settings = Settings(home=tmp_path, registry=url)
    made = register(entry, settings)
    from mlpatterns.references import RegisteredReference
    from mlpatterns.registry.threaded import ThreadedRegistry

    registry = ThreadedRegistry(url)
    answer = registry.find_blocking(RegisteredReference("shapes"))
    registry.end()
    return settings, answer, made.folder


def test_a_signature_is_read_without_the_model(placed: tuple[Settings, VersionFiles, Path]) -> None:
    settings, answer, folder = placed
    (folder / "model.onnx").unlink()
    assert difference(metadata(), signature_of(settings.artifacts_url, answer, what="shapes:1")) == ""


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("metadata.json", b"{}", "the signature of shapes:1 is unknown: its metadata.json does not match its SHA-256"),
        ("manifest.json", b"{}", "the signature of shapes:1 is unknown: its manifest.json does not match its SHA-256"),
        ("metadata.json", b" " * 9999, "the signature of shapes:1 is unknown: a file does not match its SHA-256"),
        (
            "metadata.json",
            None,
            "the signature of shapes:1 is unknown: its files are not below the setting `artifacts`",
        ),
        (
            "manifest.json",
            None,
            "the signature of shapes:1 is unknown: its files are not below the setting `artifacts`",
        ),
    ],
)
def test_what_is_damaged_is_a_sentence(
    placed: tuple[Settings, VersionFiles, Path], name: str, content: bytes | None, sentence: str
) -> None:
    settings, answer, folder = placed
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(ModelFileError, match=sentence):
        signature_of(settings.artifacts_url, answer, what="shapes:1")


def test_what_was_registered_without_metadata_is_a_sentence(tmp_path: Path, url: str) -> None:
    settings = Settings(home=tmp_path, registry=url)
    made = register(Registration("shapes", {"model.onnx": b"graph"}), settings)
    from mlpatterns.registry.files import digest

    answer = VersionFiles(1, f"shapes/{made.folder.name}", digest(made.folder / "manifest.json"))
    with pytest.raises(ModelFileError, match=r"it has no metadata\.json"):
        signature_of(settings.artifacts_url, answer, what="shapes:1")
    with pytest.raises(ModelFileError, match="outside the artifacts of this home"):
        signature_of(settings.artifacts_url, VersionFiles(1, "../shapes", "a" * 64), what="shapes:1")
