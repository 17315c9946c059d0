"""Building: the ONNX file answers as torch does, for any number of images; the small one is small and as good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extras import need
from mlpatterns.registry.files import MODEL
from mlpatterns.training.cifar10.options import WIDTHS, ImageOptions
from mlpatterns.training.cifar10.prepared import load_images, prepare
from mlpatterns.training.parity import run_onnx
from mlpatterns.training.step_cache import LOG, SCRATCH
from mlpatterns.user_errors import UserError

need("torch", "torch")

import torch  # noqa: E402 - where it is not installed, these tests are skipped above

from mlpatterns.training.cifar10 import build as module  # noqa: E402
from mlpatterns.training.cifar10.build import INPUT, INT8, OUTPUT, build, export, load_built  # noqa: E402
from mlpatterns.training.cifar10.fit import fit  # noqa: E402
from mlpatterns.training.cifar10.models import network  # noqa: E402
from mlpatterns.training.cifar10.trained import answers  # noqa: E402

OPTIONS = ImageOptions(synthetic=True, images=100, test_images=40, batch_size=20, width=4, threads=1, epochs=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Prepared images, and a network that was trained a little."""
    prepared, trained = tmp_path_factory.mktemp("prepared"), tmp_path_factory.mktemp("trained")
    for folder in (prepared, trained):
        for name in (LOG, SCRATCH):
            (folder / name).mkdir()
    prepare(OPTIONS, prepared)
    fit(prepared, OPTIONS, trained)
    return prepared, trained


def net(kind: str) -> Any:
    torch.manual_seed(1)
    made = network(kind, width=4, classes=10, mean=(120.0, 110.0, 100.0), std=(60.0, 70.0, 80.0))
    made(torch.rand(16, 3, 32, 32) * 255)  # so that its normalisations have seen something
    return made.eval()


@pytest.mark.parametrize("kind", WIDTHS)
@pytest.mark.parametrize("rows", [1, 5])
def test_every_network_is_exported_to_the_same_answers(kind: str, rows: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(rows, 3, 32, 32)).astype(np.uint8)
    made = net(kind)
    found = run_onnx(export(made, name="net"), {INPUT: images.astype(np.float32)})[OUTPUT]
    assert found.shape == (rows, 10)
    assert np.abs(found - answers(made, images)).max() < 1e-5


def test_equal_networks_are_exported_to_equal_bytes() -> None:
    assert export(net("resnet"), name="net") == export(net("resnet"), name="net")


def test_what_is_built_is_proven_and_described(folders: tuple[Path, Path], tmp_path: Path) -> None:
    build(*folders, OPTIONS, tmp_path)
    built = load_built(tmp_path)
    assert built.parity.holds
    assert built.parity.rows == 40
    assert built.float32.bytes == (tmp_path / MODEL).stat().st_size
    assert built.int8.bytes == (tmp_path / INT8).stat().st_size < built.float32.bytes
    test = load_images(folders[0], "test")
    found = run_onnx((tmp_path / INT8).read_bytes(), {INPUT: test.images.astype(np.float32)})[OUTPUT]
    assert built.int8.scores.accuracy == (found.argmax(axis=1) == test.labels).mean()


def test_building_twice_gives_equal_bytes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        build(*folders, OPTIONS, tmp_path / name)
    for file in (MODEL, INT8):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_export_that_answers_otherwise_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(made: Any, *, name: str) -> bytes:
        with torch.no_grad():
            made[-1].bias[0] += 0.1
        return export(made, name=name)

    monkeypatch.setattr(module, "export", wrong)
    with pytest.raises(UserError, match="the exported model is not registered: it differs from the trained one by"):
        build(*folders, OPTIONS, tmp_path)
    assert list(tmp_path.iterdir()) == []
