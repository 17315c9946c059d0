"""A synthetic set of ten classes, in the format of the official archive, so that the same code reads both.

Each image shows the shape of one class at a random position, in a random size and colours, on a gradient with noise.
Colour does not depend on the class, and a mirrored shape has the same class. All computations use integers, so that a
seed gives the same bytes on every machine.
"""

from __future__ import annotations

import io
import tarfile
from gzip import GzipFile
from pathlib import Path

import numpy as np

from mlpatterns.metadata import Array
from mlpatterns.training.cifar10.pickled import Record, dump
from mlpatterns.training.cifar10.published import CIFAR10, SIDE

__all__ = ["LABELS", "draw", "write_synthetic"]

LABELS = (
    "disc", "square", "triangle", "cross", "ring", "frame", "saltire", "rows", "columns", "checkers",
)  # fmt: skip
NOISE, CONTRAST = 24, 72  # of 255: the amplitude of the noise, and the smallest difference of the two colours


def write_synthetic(path: Path, *, images: int, test_images: int, seed: int) -> None:
    """Writes the archive: five batches of training images, one of test images, and the class names."""
    random = np.random.Generator(np.random.PCG64(seed))
    kind = CIFAR10
    # Not "w:gz", which writes the current time into the file.
    with GzipFile(path, "wb", compresslevel=1, mtime=0) as file, tarfile.open(fileobj=file, mode="w") as archive:
        counts = [len(part) for part in np.array_split(np.arange(images), len(kind.train))]
        for number, (name, count) in enumerate(zip(kind.train, counts, strict=True), start=1):
            _add(archive, name, _batch(count, f"training batch {number} of {len(kind.train)}", random))
        _add(archive, kind.test, _batch(test_images, "testing batch 1 of 1", random))
        names: list[bytes] = [label.encode() for label in LABELS]
        _add(archive, kind.meta, {b"num_cases_per_batch": counts[0], b"label_names": names, b"num_vis": 3 * SIDE**2})


def _add(archive: tarfile.TarFile, name: str, record: Record) -> None:
    content = dump(record)
    entry = tarfile.TarInfo(f"{CIFAR10.folder}/{name}")
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _batch(count: int, title: str, random: np.random.Generator) -> Record:
    labels = random.permutation(np.arange(count) % len(LABELS))
    data = np.empty((count, 3 * SIDE**2), np.uint8)
    for row, label in enumerate(labels):
        data[row] = draw(int(label), random).reshape(-1)
    names: list[bytes] = [f"{LABELS[label]}_s_{row:06d}.png".encode() for row, label in enumerate(labels)]
    return {b"batch_label": title.encode(), b"labels": labels.tolist(), b"data": data, b"filenames": names}


def draw(label: int, random: np.random.Generator) -> Array:
    """One image of a class, uint8 [3, 32, 32]."""
    paper, ink = _colours(random)
    slope = random.integers(-1, 2, size=(3, 2))
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    ground = paper[:, None, None] + slope[:, :1, None] * (y - SIDE // 2) + slope[:, 1:, None] * (x - SIDE // 2)
    inside = _shape(LABELS[label], random)
    picture = np.where(inside, ink[:, None, None], ground)
    return np.clip(picture + random.integers(-NOISE, NOISE + 1, size=picture.shape), 0, 255).astype(np.uint8)


def _colours(random: np.random.Generator) -> tuple[Array, Array]:
    """Two colours whose channel means differ by at least CONTRAST."""
    while True:
        paper, ink = random.integers(24, 232, size=(2, 3))
        if abs(int(paper.sum()) - int(ink.sum())) >= 3 * CONTRAST:
            return paper, ink


def _shape(name: str, random: np.random.Generator) -> Array:
    """The pixels of the shape as a mask, bool [32, 32]."""
    reach = int(random.integers(8, 13))
    middle_y, middle_x = random.integers(reach, SIDE - reach, size=2)
    width = int(random.integers(2, 5))
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    y, x = y - middle_y, x - middle_x
    far, round_ = np.maximum(abs(y), abs(x)), y * y + x * x
    box = far <= reach
    period = int(random.integers(2, 4))
    shapes: dict[str, Array] = {
        "disc": round_ <= reach * reach,
        "square": box,
        "triangle": box & (2 * abs(x) <= y + reach),
        "cross": box & (np.minimum(abs(y), abs(x)) < width),
        "ring": (round_ <= reach * reach) & (round_ > (reach - width) ** 2),
        "frame": box & (far > reach - width),
        "saltire": box & (abs(abs(y) - abs(x)) < width),
        "rows": box & (y // period % 2 == 0),
        "columns": box & (x // period % 2 == 0),
        "checkers": box & ((y // (period + 1) + x // (period + 1)) % 2 == 0),
    }
    return shapes[name]
