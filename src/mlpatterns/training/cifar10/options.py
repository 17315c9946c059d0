"""The options of this training."""

from __future__ import annotations

from math import isfinite
from typing import Literal

from msgspec import Struct

from mlpatterns.training.cifar10.published import PublishedArchive, published
from mlpatterns.user_errors import WrongUse

__all__ = ["WIDTHS", "ImageOptions"]

WIDTHS = {"resnet": 16, "simple": 32, "vgg11": 64, "vgg16": 64}
"""The default number of channels of each network's first stage; for a VGG, that of its paper."""

MOST = 2**31 - 1


class ImageOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of ``mlpatterns train cifar10``.

    Attributes:
        dataset: the name of a published archive.
        data: its URL or path, if not the URL of the publisher.
        synthetic: train on a drawn set of `images` and `test_images` instead.
        learning_rate: the maximum of the schedule.
        num_workers: the number of threads that prepare batches ahead; they affect only the speed.
        width: the number of channels of the network's first stage; 0 for the default of the model type.
        threads: the number of torch's threads; 0 for as many as the machine has. With another number, sums are rounded
            in another order.
    """

    dataset: Literal["cifar10", "cifar100"] = "cifar10"
    data: str = ""
    synthetic: bool = False
    images: int = 2000
    test_images: int = 1000
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 0.05
    num_workers: int = 2
    model_type: Literal["resnet", "simple", "vgg11", "vgg16"] = "resnet"
    width: int = 0
    threads: int = 0
    seed: int = 0

    def check(self) -> None:
        """Raises WrongUse if a value is invalid."""
        for name, least, most in (
            ("images", 20, 1_000_000), ("test_images", 10, 1_000_000), ("epochs", 1, 100_000),
            ("batch_size", 2, 65_536), ("num_workers", 0, 64), ("width", 0, 1024), ("threads", 0, 1024),
            ("seed", 0, MOST),
        ):  # fmt: skip
            if not least <= getattr(self, name) <= most:
                raise WrongUse(f"{name} must be between {least} and {most}, not {getattr(self, name)}")
        if not (isfinite(self.learning_rate) and self.learning_rate > 0):
            raise WrongUse(f"learning_rate must be greater than 0, not {self.learning_rate}; 0.05 is usual")
        if self.synthetic and (self.data or self.dataset != "cifar10"):
            raise WrongUse("--synthetic draws its own images; leave out --data and --dataset")

    @property
    def archive(self) -> PublishedArchive:
        return published(self.dataset)

    @property
    def channels(self) -> int:
        """The number of channels of the first stage."""
        return self.width or WIDTHS[self.model_type]
