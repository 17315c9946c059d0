"""What a file is that is no ONNX model: known by its first bytes."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlpatterns.onnx_format.other_files import refused_content
from releases import graph


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    return held.getvalue()


def tarred() -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.onnx"))
    return held.getvalue()


def array() -> bytes:
    held = io.BytesIO()
    np.save(held, np.zeros(3))
    return held.getvalue()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (bytes, "is empty"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "run `git lfs pull`"),
        (zipped, "a zip archive"),
        (tarred, "a tar archive"),
        (lambda: gzip.compress(b"model"), "a gzip archive"),
        *((lambda protocol=protocol: pickle.dumps({"a": 1}, protocol), "a pickle") for protocol in (2, 3, 4, 5)),
        (lambda: b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (lambda: b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
        (lambda: b"\x1c\0\0\0ORTM", "ONNX Runtime's own format"),
        (lambda: (40).to_bytes(8, "little") + b'{"w":{"dtype":"F32"}}', "safetensors"),
        (lambda: b"\n<!DOCTYPE html><html>", "HTML or XML"),
        (lambda: b"<?xml version='1.0'?><net/>", "HTML or XML"),
        (lambda: b'{"learner": {}}', "JSON"),
        (lambda: b"tree\nversion=v4\n", "LightGBM"),
        (array, "a NumPy array"),
        (lambda: b"not a model", "it is text"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_name(tmp_path: Path, make: Callable[[], bytes], said: str) -> None:
    (tmp_path / "m.onnx").write_bytes(make())
    assert said in (refused_content(tmp_path / "m.onnx") or "")


def test_a_model_is_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(graph(1.0))
    assert refused_content(tmp_path / "m.onnx") is None
