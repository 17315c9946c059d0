"""Iris, one class against the rest

Need: Train one two-class classifier for each class
Group: training
Book: chapter2_training/iris_binary
Mercari: Batch training
Japanese: アイリス二値分類の学習
When: each class needs its own model, which is trained, released and scaled independently of the others
When not: the classes are mutually exclusive and always change together; one model of all classes is then simpler

Diagram:
    data ─┬─ setosa or other ─────▶ train ─▶ iris_binary_setosa
          ├─ versicolor or other ─▶ train ─▶ iris_binary_versicolor
          └─ virginica or other ──▶ train ─▶ iris_binary_virginica
    the target's probability comes first

Commands:
    mlpatterns train iris_binary --target-iris setosa
    mlpatterns train iris_binary_versicolor iris_binary_virginica
    mlpatterns demo iris_binary
    mlpatterns run web_single --model iris_binary_setosa
    mlpatterns run horizontal_microservice
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from mlpatterns import Context, Evidence, InferenceRequest, OnnxModel, Row, Settings, running, train

NAME = "iris_binary"
TARGETS = ("setosa", "versicolor", "virginica")
SEED = 7


def demo(home: Path) -> Evidence:
    """Trains each target twice with one seed into `home`, then predicts all flowers with the champions."""
    options = [{"seed": SEED, "target_iris": target} for target in TARGETS]
    first = [train(NAME, home=home, options=each) for each in options]
    second = [train(NAME, home=home, options=each, promote=True) for each in options]
    equal = sum(one.sha256 == other.sha256 for one, other in zip(first, second, strict=True))
    difference = max(one.parity.max_difference for one in second)
    accuracy = min(one.metrics["accuracy"] for one in second)
    served = asyncio.run(champions(home))
    wanted = [f"{target}:2" for target in TARGETS]
    return Evidence(
        NAME,
        (
            Row("one seed gives one model, byte for byte", "3 of 3", f"{equal} of 3", equal == 3),
            Row("the ONNX files answer as scikit-learn does", "<= 1e-4", f"{difference:.1e}", difference <= 1e-4),
            Row("accuracy of the worst on rows it was not trained on", ">= 0.9", f"{accuracy:.3f}", accuracy >= 0.9),
            Row("each target's newest model serves, its first probability the target's",
                ", ".join(wanted), ", ".join(served), served == wanted),
        ),
    )  # fmt: skip


async def champions(home: Path) -> list[str]:
    """For each model, SPECIES:VERSION: the species with the highest first probability, and the champion's version."""
    models = [OnnxModel(f"{NAME}_{target}") for target in TARGETS]
    async with running(*models, settings=Settings(home=home)):
        return [f"{await favourite(model)}:{model.metadata.version}" for model in models]


async def favourite(model: OnnxModel) -> str:
    """The species whose flowers have the highest first probability on average."""
    rows, species = iris()
    answer = await model.predict(InferenceRequest({"input": rows}, Context("demo")))
    first = answer.outputs["probabilities"][:, 0]
    return max(TARGETS, key=lambda name: float(first[species == name].mean()))


def iris() -> tuple[Any, Any]:
    """The rows of iris, and the species of each row."""
    from sklearn.datasets import load_iris

    found: Any = load_iris()
    return found.data.astype("float32"), found.target_names[found.target]
