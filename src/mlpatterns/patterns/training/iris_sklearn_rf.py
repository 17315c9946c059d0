"""Iris random forest

Need: Train a random forest and export it to ONNX
Group: training
Book: chapter2_training/iris_sklearn_rf
Mercari: Batch training
Japanese: アイリスランダムフォレストの学習
When: trees suit the data, and a server must give exactly the answers of the forest that was evaluated
When not: hundreds of deep trees would make the file large and each answer slow; another kind of model is then smaller

Diagram:
    fitted:   row ─▶ float64 ─▶ standardise ─▶ float32 ─▶ trees ─▶ probabilities
    exported: row ─▶ the same trees, with the scaling folded exactly into their thresholds ─▶ the same probabilities

Commands:
    mlpatterns train iris_sklearn_rf --test-size 0.3 --seed 0
    mlpatterns demo iris_sklearn_rf
    mlpatterns run web_single --model iris_sklearn_rf
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from mlpatterns import Evidence, OnnxModel, Row, Settings, running, train

NAME = "iris_sklearn_rf"
SEED = 7


def demo(home: Path) -> Evidence:
    """Trains twice with one seed into `home`, then asks the registry which version serves."""
    first = train(NAME, home=home, options={"seed": SEED})
    second = train(NAME, home=home, options={"seed": SEED}, promote=True)
    served = asyncio.run(champion(home))
    difference = max(first.parity.max_difference, second.parity.max_difference)
    others = first.parity.other_labels + second.parity.other_labels
    accuracy = min(first.metrics["accuracy"], second.metrics["accuracy"])
    return Evidence(
        NAME,
        (
            Row("one seed gives one model, byte for byte", "equal SHA-256",
                f"{first.sha256[:12]}, {second.sha256[:12]}", first.sha256 == second.sha256),
            Row("the ONNX file gives scikit-learn's probabilities", "<= 1e-4", f"{difference:.1e}", difference <= 1e-4),
            Row("no row is classed otherwise than by scikit-learn", "0 rows", f"{others} rows", others == 0),
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
