"""Iris support vector classifier

Need: Train a classifier so that the same seed gives the same bytes, and register it
Group: training
Book: chapter2_training/iris_sklearn_svc
Mercari: Batch training
Japanese: アイリスサポートベクターマシンの学習
When: the data fits in memory, and you must be able to say later which data, seed and libraries made a model
When not: training takes hours or several machines, or the model learns while it serves

Diagram:
    data ─▶ split ─▶ fit ─▶ evaluate ─▶ export to ONNX ─▶ prove parity ─▶ register
                                                              │ differs
                                                              ▼
                                                           refused

Commands:
    mlpatterns train iris_sklearn_svc --test-size 0.3 --seed 0
    mlpatterns demo iris_sklearn_svc
    mlpatterns run web_single
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from mlpatterns import Evidence, OnnxModel, Row, Settings, running, train

NAME = "iris_sklearn_svc"
SEED = 7


def demo(home: Path) -> Evidence:
    """Trains twice with one seed into `home`, then asks the registry which version serves."""
    first = train(NAME, home=home, options={"seed": SEED})
    second = train(NAME, home=home, options={"seed": SEED}, promote=True)
    served = asyncio.run(champion(home))
    difference = max(first.parity.max_difference, second.parity.max_difference)
    accuracy = min(first.metrics["accuracy"], second.metrics["accuracy"])
    equal = first.sha256 == second.sha256
    return Evidence(
        NAME,
        (
            Row("one seed gives one model, byte for byte", "equal SHA-256",
                f"{first.sha256[:12]}, {second.sha256[:12]}", equal),
            Row("the ONNX file answers as scikit-learn does", "<= 1e-4", f"{difference:.1e}", difference <= 1e-4),
            Row("accuracy on rows it was not trained on", ">= 0.9", f"{accuracy:.3f}", accuracy >= 0.9),
            Row("the newest version is the one that serves", f"version {second.version}", f"version {served}",
                second.version == first.version + 1 and served == str(second.version)),
        ),
    )  # fmt: skip


async def champion(home: Path) -> str:
    """The version that a server of this model would load now."""
    model = OnnxModel(NAME)
    async with running(model, settings=Settings(home=home)):
        return model.metadata.version
