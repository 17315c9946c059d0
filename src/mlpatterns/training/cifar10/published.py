"""The published archives: their URLs, digests and contents, from https://www.cs.toronto.edu/~kriz/cifar.html
(Krizhevsky, 2009)."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["CIFAR10", "CIFAR100", "SIDE", "PublishedArchive", "published"]

SIDE = 32  # pixels


class PublishedArchive(Struct, frozen=True):
    """One archive, a folder of records. `labels` is the field of a record that holds the class numbers; `names` is the
    field of the record `meta` that holds the class names."""

    name: str
    url: str
    md5: str
    folder: str
    train: tuple[str, ...]
    test: str
    meta: str
    labels: str
    names: str


CIFAR10 = PublishedArchive(
    name="cifar10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    md5="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test="test_batch",
    meta="batches.meta",
    labels="labels",
    names="label_names",
)
CIFAR100 = PublishedArchive(
    name="cifar100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    folder="cifar-100-python",
    train=("train",),
    test="test",
    meta="meta",
    labels="fine_labels",
    names="fine_label_names",
)


def published(name: str) -> PublishedArchive:
    """The archive of the data set `name`, ``cifar10`` or ``cifar100``."""
    return {kind.name: kind for kind in (CIFAR10, CIFAR100)}[name]
