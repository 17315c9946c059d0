"""Training: what an epoch does follows from seed, number and state alone; a resumed run is an unbroken one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from extras import need
from mlpatterns.training.cifar10.checkpoint import read_arrays
from mlpatterns.training.cifar10.options import WIDTHS, ImageOptions
from mlpatterns.training.cifar10.prepared import load_images, prepare
from mlpatterns.training.step_cache import LOG, SCRATCH
from mlpatterns.user_errors import UserError

need("torch", "torch")

import torch  # noqa: E402 - where it is not installed, these tests are skipped above

from mlpatterns.training.cifar10 import fit as module  # noqa: E402
from mlpatterns.training.cifar10.fit import CHECKPOINT, HISTORY, Epoch, fit, rate  # noqa: E402
from mlpatterns.training.cifar10.models import network  # noqa: E402
from mlpatterns.training.cifar10.trained import WEIGHTS, answers, load_network  # noqa: E402

SMALL: dict[str, Any] = {"synthetic": True, "images": 60, "test_images": 20, "batch_size": 20, "width": 4, "threads": 1,
                         "model_type": "simple", "epochs": 4}  # fmt: skip


def options(**changes: Any) -> ImageOptions:
    return ImageOptions(**{**SMALL, **changes})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = workshop(tmp_path_factory.mktemp("prepared"))
    prepare(options(), folder)
    return folder


def workshop(folder: Path) -> Path:
    """A folder as the step cache hands it to a step."""
    for name in (LOG, SCRATCH):
        (folder / name).mkdir(parents=True)
    return folder


def weights(folder: Path) -> bytes:
    return (folder / WEIGHTS).read_bytes()


def test_the_same_seed_gives_the_same_weights_whoever_prepares_the_batches(prepared: Path, tmp_path: Path) -> None:
    made = []
    for workers in (0, 3):
        folder = workshop(tmp_path / str(workers))
        fit(prepared, options(num_workers=workers), folder)
        made.append(weights(folder))
    assert made[0] == made[1]


def test_another_seed_gives_other_weights(prepared: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        fit(prepared, options(seed=seed, epochs=1), workshop(tmp_path / str(seed)))
    assert weights(tmp_path / "0") != weights(tmp_path / "1")


class Broken(Exception):
    pass


@pytest.mark.parametrize(
    ("share", "model_type"),
    [(0.5, "simple"), (0.6, "simple"), (1.0, "simple"), (0.6, "resnet"), (0.6, "vgg11")],
    ids=["between epochs", "within an epoch", "at the end", "resnet", "vgg11"],
)
def test_a_run_that_was_broken_off_ends_as_an_unbroken_one(
    share: float, model_type: str, prepared: Path, tmp_path: Path
) -> None:
    def breaks(done: float, _line: str) -> None:
        if done >= share:
            raise Broken

    wanted, broken = workshop(tmp_path / "unbroken"), workshop(tmp_path / "broken")
    fit(prepared, options(model_type=model_type), wanted)
    with pytest.raises(Broken):
        fit(prepared, options(model_type=model_type), broken, breaks)
    assert not (broken / WEIGHTS).exists()
    lines: list[str] = []
    fit(prepared, options(model_type=model_type), broken, lambda _, line: lines.append(line))
    assert weights(broken) == weights(wanted)
    assert len([line for line in lines if line]) < 4  # the first epochs were not done again
    assert len(list((broken / LOG).glob("events.*"))) == 2


def test_what_a_run_was_before_it_goes_on_decides(prepared: Path, tmp_path: Path) -> None:
    """The comparison above can fail: without the optimiser's state the weights differ."""
    wanted, broken = workshop(tmp_path / "unbroken"), workshop(tmp_path / "broken")
    fit(prepared, options(), wanted)
    fit(prepared, options(), broken)
    restore = module._restore
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_restore", lambda net, optimiser, arrays: restore(net, optimiser, {
            name: value * 0 if name.startswith("momentum/") else value for name, value in arrays.items()}))  # fmt: skip
        again = workshop(tmp_path / "again")
        with pytest.raises(Broken):
            fit(prepared, options(), again, lambda done, _: (_ for _ in ()).throw(Broken) if done >= 0.5 else None)
        fit(prepared, options(), again)
    assert weights(broken) == weights(wanted) != weights(again)


def test_a_checkpoint_is_left_after_every_epoch_and_no_pickle_is_in_it(prepared: Path, tmp_path: Path) -> None:
    folder = workshop(tmp_path / "work")
    fit(prepared, options(), folder)
    arrays, state = read_arrays(folder / CHECKPOINT)
    assert len(state["history"]) == 4
    assert {name.partition("/")[0] for name in arrays} == {"network", "momentum"}


def test_each_epoch_says_how_it_went(prepared: Path, tmp_path: Path) -> None:
    folder, lines = workshop(tmp_path / "work"), list[str]()
    fit(prepared, options(epochs=2), folder, lambda _, line: lines.append(line))
    first, second = msgspec.json.decode((folder / HISTORY).read_bytes(), type=list[Epoch])
    assert (first.epoch, second.epoch) == (1, 2)
    assert 0 <= first.train_accuracy <= 1
    assert second.images_per_second > 0
    told = [line for line in lines if line]
    assert told[0].startswith(f"epoch 1/2  loss {first.train_loss:.3f}  accuracy ")
    assert told[0].endswith(" s left")
    assert " images/s " in told[0]


def test_the_shares_of_the_work_rise_to_one(prepared: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    fit(prepared, options(epochs=2), workshop(tmp_path / "work"), lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(1 / 6)
    assert shares[-1] == 1.0


def test_a_loss_that_is_not_finite_ends_it_in_one_sentence(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the loss of epoch 1 is not finite; try a smaller --learning-rate"):
        fit(prepared, options(learning_rate=1e38), workshop(tmp_path / "work"))


def test_torch_is_left_as_it_was(prepared: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist()
    fit(prepared, options(epochs=1), workshop(tmp_path / "work"))
    after = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state().tolist()
    assert before == after


def test_the_learning_rate_rises_and_falls() -> None:
    shares = [rate(step, 100) for step in range(100)]
    top = shares.index(max(shares))
    assert 0.95 < shares[top] <= 1
    assert shares[:top] == sorted(shares[:top])
    assert shares[top:] == sorted(shares[top:], reverse=True)
    assert 0 < shares[-1] < 0.01


@pytest.mark.parametrize("kind", WIDTHS)
def test_every_network_gives_a_logit_a_class_that_depends_on_the_image(kind: str, prepared: Path) -> None:
    torch.manual_seed(0)
    net = network(kind, width=4, classes=7, mean=(120.0, 120.0, 120.0), std=(60.0, 60.0, 60.0))
    found = answers(net, load_images(prepared, "test").images[:3])
    assert found.shape == (3, 7)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize("kind", WIDTHS)
def test_no_network_begins_dead_or_exploding(kind: str, prepared: Path) -> None:
    """At first the loss is near that of chance, and its gradient reaches the first convolution."""
    torch.manual_seed(0)
    net = network(kind, width=8, classes=10, mean=(128.0,) * 3, std=(64.0,) * 3)
    images = torch.from_numpy(load_images(prepared, "train").images.astype(np.float32))
    loss = torch.nn.functional.cross_entropy(net.train()(images), torch.arange(len(images)) % 10)
    loss.backward()
    first = next(parameter for parameter in net.parameters() if parameter.ndim == 4)
    assert 2.0 < loss.item() < 4.0
    assert first.grad.abs().max().item() > 1e-4


def test_trained_weights_are_loaded_with_the_shape_they_were_trained_in(prepared: Path, tmp_path: Path) -> None:
    folder = workshop(tmp_path / "work")
    fit(prepared, options(epochs=1), folder)
    images = load_images(prepared, "test").images
    assert np.array_equal(answers(load_network(folder), images), answers(load_network(folder), images))
    assert next(iter(read_arrays(folder / WEIGHTS)[1])) in {"kind", "classes", "width", "mean", "std"}
