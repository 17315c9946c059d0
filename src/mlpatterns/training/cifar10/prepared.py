"""The step `preprocess`: converts an archive to arrays that can be memory-mapped, and writes their description."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.metadata import Array
from mlpatterns.training.cifar10.archive import Images, fetch, read_archive
from mlpatterns.training.cifar10.options import ImageOptions
from mlpatterns.training.cifar10.synthetic import write_synthetic
from mlpatterns.training.step_cache import SCRATCH

__all__ = ["DatasetDescription", "describe", "load_images", "prepare"]

ARCHIVE, DESCRIPTION = "synthetic.tar.gz", "dataset.json"


class DatasetDescription(Struct, frozen=True):
    """A prepared set.

    Attributes:
        mean, std: of its training images per channel, 0 to 255.
        archive_md5: None for a drawn archive, whose MD5 would depend on the compressor.
    """

    name: str
    archive_md5: str | None
    labels: tuple[str, ...]
    train_images: int
    test_images: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def prepare(options: ImageOptions, work: Path, report: Callable[[float], None] = lambda _: None) -> None:
    """Fetches or draws the archive, and writes its images and labels as ``.npy`` files to `work`."""
    kind = options.archive
    if options.synthetic:
        path = work / SCRATCH / ARCHIVE
        write_synthetic(path, images=options.images, test_images=options.test_images, seed=options.seed)
    else:
        path = fetch(options.data or kind.url, kind.md5, work / SCRATCH, report)
    found = read_archive(path, kind)
    for part, images in (("train", found.train), ("test", found.test)):
        np.save(work / f"{part}_images.npy", images.images, allow_pickle=False)
        np.save(work / f"{part}_labels.npy", images.labels, allow_pickle=False)
    pixels = found.train.images
    described = DatasetDescription(
        name="synthetic" if options.synthetic else kind.name,
        archive_md5=None if options.synthetic else kind.md5,
        labels=found.labels,
        train_images=len(pixels),
        test_images=len(found.test.images),
        mean=_rounded(pixels.mean(axis=(0, 2, 3))),
        std=_rounded(pixels.std(axis=(0, 2, 3)) + 1e-3),  # never zero, even if all images have one colour
    )
    (work / DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(described), indent=2))


def describe(folder: Path) -> DatasetDescription:
    """The description of a prepared set."""
    return msgspec.json.decode((folder / DESCRIPTION).read_bytes(), type=DatasetDescription)


def load_images(folder: Path, part: str) -> Images:
    """The images of a part, ``train`` or ``test``, memory-mapped, so that only the used rows are read."""
    images, labels = (np.load(folder / f"{part}_{name}.npy", mmap_mode="r") for name in ("images", "labels"))
    return Images(images, np.array(labels))


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
