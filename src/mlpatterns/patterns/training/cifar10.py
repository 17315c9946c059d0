"""Image classifier on CIFAR-10

Need: Train an image classifier with PyTorch and track its experiments
Group: training
Book: chapter2_training/cifar10
Mercari: Pipeline training
Japanese: CIFAR-10画像分類の学習
When: training takes minutes to days, its steps are worth separating, and the machine may fail before it ends
When not: the data is a table on which a laptop fits a model in seconds; one script is then enough

Diagram:
    archive ─▶ preprocess ─▶ train ─▶ build ──────────▶ evaluate ─▶ register
    (or synthetic)           │   ▲    ONNX, proven      served, over
                             ▼   │    equal; int8       OIP
                           checkpoint
    the output of each step is stored under a digest of its parameters and inputs, and reused

Commands:
    mlpatterns train cifar10 --synthetic
    mlpatterns train cifar10 --synthetic --step preprocess
    mlpatterns demo cifar10
    mlpatterns run web_single --model cifar10
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mlpatterns import Evidence, Row, train

NAME = "cifar10"
OPTIONS: dict[str, Any] = {
    "synthetic": True, "images": 1000, "test_images": 500, "epochs": 6, "batch_size": 32, "width": 8, "threads": 1,
}  # fmt: skip
KILL_AFTER = 2  # epochs
NOTHING = "nothing"


def demo(home: Path) -> Evidence:
    """Kills a training with SIGKILL, resumes it, compares it with an uninterrupted one, and runs the other steps."""
    done = killed(home)
    went_on, resumed = train_step(home)
    _, unbroken = train_step(home / "unbroken")
    first = train(NAME, home=home, options=OPTIONS)
    second = train(NAME, home=home, options=OPTIONS)
    metrics, parity = first.metrics, first.parity
    accuracy, small, served = metrics["accuracy"], metrics["int8_accuracy"], metrics["served_accuracy"]
    size = metrics["int8_size_bytes"] / metrics["size_bytes"]
    return Evidence(
        NAME,
        (
            Row("a killed training goes on where it was", f"after epoch {done} of {OPTIONS['epochs']}",
                f"with epoch {went_on}", done < went_on <= done + 2),
            Row("and its weights are those of an unbroken one", "equal SHA-256",
                f"{resumed[:12]}, {unbroken[:12]}", resumed == unbroken != NOTHING),
            Row("what a step has made is found again", "equal figures, times too",
                "equal" if first.metrics == second.metrics else "made anew", first.metrics == second.metrics),
            Row("accuracy on images it was not trained on", ">= 0.95", f"{accuracy:.3f}", accuracy >= 0.95),
            Row("the ONNX file answers as torch does", "<= 1e-4", f"{parity.max_difference:.1e}",
                parity.max_difference <= 1e-4),
            Row("served, it answers as the file does", f"accuracy {accuracy:.3f}", f"{served:.3f}", served == accuracy),
            Row("in whole numbers it is as good", "accuracy within 0.02", f"{small:.3f}",
                abs(small - accuracy) <= 0.02),
            Row("and small", "<= 0.5 of the size", f"{size:.2f}", size <= 0.5),
        ),
    )  # fmt: skip


def command(home: Path) -> subprocess.Popen[str]:
    """Starts the step `train` in its own process."""
    flags = [part for name, value in OPTIONS.items() if value is not True
             for part in (f"--{name.replace('_', '-')}", str(value))]  # fmt: skip
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "mlpatterns", "train", NAME, "--step", "train", "--synthetic", *flags],
        env={**os.environ, "MLPATTERNS_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def killed(home: Path) -> int:
    """Trains and kills the process after KILL_AFTER epochs; returns the last epoch that it reported."""
    with command(home) as process:
        assert process.stderr is not None
        done = 0
        for line in process.stderr:
            done = epoch_of(line) or done
            if done >= KILL_AFTER:
                break
        process.kill()
    return done


def train_step(home: Path) -> tuple[int, str]:
    """Trains to the end; returns the first epoch that it reported, and the digest of the weights."""
    with command(home) as process:
        out, told = process.communicate()
    epochs = [epoch for line in told.splitlines() if (epoch := epoch_of(line))]
    digest = re.search(r"digest +([0-9a-f]{64})", out)
    return (epochs or [0])[0], digest[1] if digest else NOTHING


def epoch_of(line: str) -> int:
    """The number in ``epoch 3/8 …``, else 0."""
    found = re.search(r"epoch (\d+)/", line)
    return int(found[1]) if found else 0
