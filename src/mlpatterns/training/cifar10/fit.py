"""The step `train`: fits a network, and writes a checkpoint after each epoch, from which a killed run resumes.

The result of an epoch depends only on the weights and the optimiser's state at its beginning, on the seed, and on the
number of the epoch. The seed and that number determine batches and dropout; the number of the step determines the
learning rate.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from math import cos, isfinite, pi
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import torch
from msgspec import Struct
from torch import nn

from mlpatterns.metadata import Array
from mlpatterns.training.cifar10.checkpoint import read_arrays, write_arrays
from mlpatterns.training.cifar10.loader import Loader
from mlpatterns.training.cifar10.models import network
from mlpatterns.training.cifar10.options import ImageOptions
from mlpatterns.training.cifar10.prepared import describe, load_images
from mlpatterns.training.cifar10.trained import WEIGHTS, answers, deterministic, epoch_seed
from mlpatterns.training.step_cache import LOG, SCRATCH
from mlpatterns.training.tensorboard import EventFile
from mlpatterns.user_errors import UserError

__all__ = ["CHECKPOINT", "HISTORY", "Epoch", "fit", "rate"]

CHECKPOINT, HISTORY = f"{SCRATCH}/checkpoint.npz", f"{LOG}/history.json"
WARM_UP = 0.25  # the share of the steps in which the learning rate rises
MOMENTUM, WEIGHT_DECAY, SMOOTHING, MOST_NORM = 0.9, 5e-4, 0.1, 5.0


class Epoch(Struct, frozen=True):
    """The losses and accuracies of an epoch. Test images are only evaluated. Accuracies are between 0 and 1."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_accuracy: float
    images_per_second: float


Report = Callable[[float, str], None]
"""Called with the share of the work that is done, and with a line of text when an epoch ends."""


def fit(prepared: Path, options: ImageOptions, work: Path, report: Report = lambda _share, _line: None) -> None:
    """Trains on the images of `prepared`; writes weights, history and TensorBoard events to `work`.

    Raises:
        UserError: the loss has become infinite or NaN.
    """
    with deterministic(options.threads), closing(EventFile(work / LOG)) as events:
        run = _Run(prepared, options, work, events)
        for epoch in range(run.begin(), options.epochs):
            done = run.epoch(epoch, report)
            report(done.epoch / options.epochs, _line(done, options.epochs, run.seconds_left))
        run.end()


class _Run:
    """One training. It resumes from its checkpoint if there is one."""

    def __init__(self, prepared: Path, options: ImageOptions, work: Path, events: EventFile) -> None:
        self.options, self.work, self.events = options, work, events
        self.test = load_images(prepared, "test")
        train = load_images(prepared, "train")
        self.loader = Loader(
            train.images, train.labels,
            batch_size=options.batch_size, seed=options.seed, workers=options.num_workers,
        )  # fmt: skip
        described = describe(prepared)
        self.shape = {"kind": options.model_type, "width": options.channels, "classes": len(described.labels),
                      "mean": described.mean, "std": described.std}  # fmt: skip
        torch.manual_seed(options.seed)
        self.network = network(**self.shape)  # type: ignore[arg-type]
        self.optimiser = torch.optim.SGD(
            self.network.parameters(), lr=0.0, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
        )
        self.history: list[Epoch] = []
        self.seconds = 0.0  # total time of the epochs that ran in this process
        self.epochs = 0

    def begin(self) -> int:
        """The first epoch to run: 0, or the one after the checkpoint."""
        path = self.work / CHECKPOINT
        if not path.exists():
            return 0
        arrays, state = read_arrays(path)
        self.history = msgspec.convert(state["history"], list[Epoch])
        _restore(self.network, self.optimiser, arrays)
        return len(self.history)

    @property
    def seconds_left(self) -> float:
        return self.seconds / max(1, self.epochs) * (self.options.epochs - len(self.history))

    def epoch(self, number: int, report: Report) -> Epoch:
        """Trains on every image once, evaluates the test images, and saves the checkpoint."""
        began = perf_counter()
        torch.manual_seed(epoch_seed(self.options.seed, number))  # dropout uses torch's generator
        self.network.train()
        loss, right, seen = 0.0, 0, 0
        for batch, (images, labels) in enumerate(self.loader.epoch(number)):
            step_loss, step_right = self._step(number * len(self.loader) + batch, images, labels)
            loss, right, seen = loss + step_loss * len(labels), right + step_right, seen + len(labels)
            report((number + (batch + 1) / len(self.loader)) / self.options.epochs, "")
        if not isfinite(loss):
            raise UserError(f"the loss of epoch {number + 1} is not finite; try a smaller --learning-rate")
        speed = seen / (perf_counter() - began)
        test = float((answers(self.network, self.test.images).argmax(axis=1) == self.test.labels).mean())
        lr = self.optimiser.param_groups[0]["lr"]
        done = Epoch(number + 1, lr, loss / seen, right / seen, test, speed)
        self.history.append(done)
        self._save(done)
        self.seconds, self.epochs = self.seconds + perf_counter() - began, self.epochs + 1
        return done

    def _step(self, number: int, images: Array, labels: Array) -> tuple[float, int]:
        """Trains on one batch; returns its mean loss and the number of right predictions."""
        total = self.options.epochs * len(self.loader)
        for group in self.optimiser.param_groups:
            group["lr"] = self.options.learning_rate * rate(number, total)
        truth = torch.from_numpy(labels)
        logits = self.network(torch.from_numpy(images))
        loss = nn.functional.cross_entropy(logits, truth, label_smoothing=SMOOTHING)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), MOST_NORM)
        self.optimiser.step()
        return float(loss.detach()), int((logits.argmax(1) == truth).sum())

    def _save(self, done: Epoch) -> None:
        figures = msgspec.to_builtins(done)
        self.events.scalars(done.epoch, {name: value for name, value in figures.items() if name != "epoch"})
        arrays = {f"network/{name}": value.numpy() for name, value in self.network.state_dict().items()}
        for place, parameter in enumerate(self.network.parameters()):
            arrays[f"momentum/{place}"] = self.optimiser.state[parameter]["momentum_buffer"].numpy()
        write_arrays(self.work / CHECKPOINT, arrays, {"history": msgspec.to_builtins(self.history)})

    def end(self) -> None:
        """Writes the weights and the history."""
        arrays = {name: value.numpy() for name, value in self.network.state_dict().items()}
        write_arrays(self.work / WEIGHTS, arrays, self.shape)
        (self.work / HISTORY).write_bytes(msgspec.json.format(msgspec.json.encode(self.history), indent=2))


def rate(step: int, steps: int) -> float:
    """The learning rate as a share of its maximum: a linear rise, then a cosine decay (Smith and Topin, 2018)."""
    share = (step + 1) / (steps + 1)
    return share / WARM_UP if share < WARM_UP else 0.5 * (1 + cos(pi * (share - WARM_UP) / (1 - WARM_UP)))


def _restore(net: nn.Module, optimiser: Any, arrays: dict[str, Array]) -> None:
    kept = {name: torch.from_numpy(value) for name, value in arrays.items()}
    net.load_state_dict({name.removeprefix("network/"): kept[name] for name in kept if name.startswith("network/")})
    for place, parameter in enumerate(net.parameters()):
        optimiser.state[parameter]["momentum_buffer"] = kept[f"momentum/{place}"].clone()


def _line(done: Epoch, epochs: int, seconds_left: float) -> str:
    return (
        f"epoch {done.epoch}/{epochs}  loss {done.train_loss:.3f}  accuracy {done.train_accuracy:.3f}"
        f"  test {done.test_accuracy:.3f}  {done.images_per_second:.0f} images/s  {seconds_left:.0f} s left"
    )
