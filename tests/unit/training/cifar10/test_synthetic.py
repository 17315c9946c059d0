"""The synthetic set: ten classes, the same bytes everywhere, the form of the official archive."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mlpatterns.training.cifar10.archive import ImageSet, read_archive
from mlpatterns.training.cifar10.published import CIFAR10
from mlpatterns.training.cifar10.synthetic import LABELS, draw, write_synthetic


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "synthetic.tar.gz"
    write_synthetic(path, images=103, test_images=20, seed=0)
    return path


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def test_it_has_the_files_of_the_official_archive(archive: Path) -> None:
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]
    assert list(contents(archive)) == [f"cifar-10-batches-py/{name}" for name in names]


def test_the_code_that_reads_the_official_archive_reads_it(archive: Path) -> None:
    found: ImageSet = read_archive(archive, CIFAR10)
    assert (found.train.images.shape, found.test.images.shape) == ((103, 3, 32, 32), (20, 3, 32, 32))
    assert found.train.images.dtype == np.uint8
    assert found.labels == LABELS
    assert np.bincount(found.test.labels).tolist() == [2] * 10


def test_a_seed_gives_the_same_bytes_on_every_machine(archive: Path) -> None:
    state = hashlib.sha256()
    for name, content in contents(archive).items():
        state.update(name.encode() + content)
    assert state.hexdigest() == "7f8293c080a1ff5cb824ff04b62c2f6dd9c058828565d3c2728c227a81791201"


def test_the_time_of_day_is_not_in_the_file(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000_000.0)
    write_synthetic(tmp_path / archive.name, images=103, test_images=20, seed=0)
    assert (tmp_path / archive.name).read_bytes() == archive.read_bytes()


def test_another_seed_gives_other_images(archive: Path, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "other.tar.gz", images=103, test_images=20, seed=1)
    other = contents(tmp_path / "other.tar.gz")
    same = [name for name, content in contents(archive).items() if other[name] == content]
    assert same == ["cifar-10-batches-py/batches.meta"]


@pytest.mark.parametrize("label", range(10))
def test_no_two_images_of_a_class_are_alike(label: int) -> None:
    random = np.random.Generator(np.random.PCG64(5))
    first, second = draw(label, random), draw(label, random)
    assert (first != second).mean() > 0.5


def test_colour_alone_does_not_tell_the_classes() -> None:
    """The nearest class by mean colour is right about as often as chance, one in ten."""
    random = np.random.Generator(np.random.PCG64(6))
    labels = np.arange(1000) % 10
    colours = np.stack([draw(int(label), random).mean(axis=(1, 2)) for label in labels])
    centres = np.stack([colours[:500][labels[:500] == label].mean(axis=0) for label in range(10)])
    nearest = ((colours[500:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == labels[500:]).mean() < 0.2
