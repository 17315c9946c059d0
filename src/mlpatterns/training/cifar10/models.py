"""The networks. Their input is pixels as on disk (float32 [batch, 3, 32, 32], 0 to 255), their output one logit per
class.

A batch normalisation (Ioffe and Szegedy, 2015) follows every convolution, and weights are initialised for ReLU as in He
et al. (2015). Without these two, a VGG stays at chance level.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["network"]

POOL = 0  # in a list of channels: a pooling layer, which halves height and width
# Columns A and D of Simonyan and Zisserman (2015); channels in multiples of the width.
VGG = {
    "vgg11": (1, POOL, 2, POOL, 4, 4, POOL, 8, 8, POOL, 8, 8, POOL),
    "vgg16": (1, 1, POOL, 2, 2, POOL, 4, 4, 4, POOL, 8, 8, 8, POOL, 8, 8, 8, POOL),
}
DROPOUT = 0.2


def network(kind: str, *, width: int, classes: int, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """A network with initial weights from torch's global generator.

    Args:
        kind: ``resnet``, ``simple``, ``vgg11`` or ``vgg16``.
        width: the number of channels of its first stage.
        mean, std: of the three channels of the training images, 0 to 255; the network itself normalises by them.
    """
    layers = {"resnet": _resnet, "simple": _simple}.get(kind) or (lambda w, n: _vgg(VGG[kind], w, n))
    made = nn.Sequential(Normalise(mean, std), *layers(width, classes))
    made.apply(_initialise)
    return made


class Normalise(nn.Module):
    """Normalises pixels to mean 0 and standard deviation 1 per channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        normal: Tensor = (pixels - self.mean) / self.std
        return normal


class Residual(nn.Module):
    """Two convolutions with a shortcut for the input (He et al., 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(*_convolution(width, width), *_convolution(width, width))

    def forward(self, values: Tensor) -> Tensor:
        added: Tensor = values + self.inner(values)
        return added


def _convolution(taken: int, made: int) -> list[nn.Module]:
    return [nn.Conv2d(taken, made, 3, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU()]


def _resnet(width: int, classes: int) -> list[nn.Module]:
    """Eight convolutions, four of them in two residual blocks; height and width are halved three times."""
    return [
        *_convolution(3, width),
        *_convolution(width, 2 * width), nn.MaxPool2d(2), Residual(2 * width),
        *_convolution(2 * width, 4 * width), nn.MaxPool2d(2),
        *_convolution(4 * width, 8 * width), nn.MaxPool2d(2), Residual(8 * width),
        *_head(8 * width, classes),
    ]  # fmt: skip


def _simple(width: int, classes: int) -> list[nn.Module]:
    """Three convolutions and a hidden layer."""
    channels = (3, width, 2 * width, 2 * width)
    layers = [layer for taken, made in pairwise(channels) for layer in (*_convolution(taken, made), nn.MaxPool2d(2))]
    hidden = 4 * width
    return [*layers, nn.Flatten(), nn.Linear(2 * width * 4 * 4, hidden), nn.ReLU(), nn.Dropout(DROPOUT),
            nn.Linear(hidden, classes)]  # fmt: skip


def _vgg(stages: Sequence[int], width: int, classes: int) -> list[nn.Module]:
    """The convolutions of the paper, but only one hidden layer, because 32x32 pixels shrink to 1x1."""
    layers, taken = list[nn.Module](), 3
    for stage in stages:
        if stage == POOL:
            layers.append(nn.MaxPool2d(2))
        else:
            layers.extend(_convolution(taken, stage * width))
            taken = stage * width
    return [*layers, nn.Flatten(), nn.Linear(taken, taken), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(taken, classes)]


def _head(width: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(DROPOUT), nn.Linear(width, classes)]


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if isinstance(layer, nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        nn.init.zeros_(layer.bias)
