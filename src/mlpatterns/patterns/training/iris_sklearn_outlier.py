"""Iris outlier detector

Need: Train a detector of inputs that are unlike the training data
Group: training
Book: chapter2_training/iris_sklearn_outlier
Mercari: Batch training
Japanese: アイリス外れ値検知の学習
When: callers must know that a prediction is unreliable, because its input is unlike all training data
When not: you want to know whether the data as a whole has drifted; compare its distribution with the profile instead

Diagram:
    row ─▶ standardise ─▶ one-class SVM ─▶ score      above 0: like the training data; 0 and below: an outlier
                                        └▶ outlier    true or false, by the score's sign

Commands:
    mlpatterns train iris_sklearn_outlier --test-size 0.3 --seed 0
    mlpatterns demo iris_sklearn_outlier
    mlpatterns run web_single --model iris_sklearn_outlier
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlpatterns import Context, Evidence, InferenceRequest, OnnxModel, Row, Settings, running, train

NAME = "iris_sklearn_outlier"
SEED = 7


def demo(home: Path) -> Evidence:
    """Trains twice with one seed into `home`, then sends a normal row and an outlier to the champion."""
    first = train(NAME, home=home, options={"seed": SEED})
    second = train(NAME, home=home, options={"seed": SEED}, promote=True)
    served, answers = asyncio.run(champion(home))
    parity, rates = second.parity, second.metrics
    inliers, synthetic = rates["outlier_rate_test"], rates["outlier_rate_synthetic"]
    flags, scores = answers["outlier"].tolist(), answers["score"][:, 0].tolist()
    agree = flags == [False, True] and all((score <= 0) == flag for score, flag in zip(scores, flags, strict=True))
    return Evidence(
        NAME,
        (
            Row("one seed gives one model, byte for byte", "equal SHA-256",
                f"{first.sha256[:12]}, {second.sha256[:12]}", first.sha256 == second.sha256),
            Row("the ONNX file scores and flags as scikit-learn does", "<= 1e-4, 0 other flags",
                f"{parity.max_difference:.1e}, {parity.other_labels} other flags", parity.holds),
            Row("outliers among irises it was not trained on", "<= 0.25", f"{inliers:.3f}", inliers <= 0.25),
            Row("outliers among made-up flowers", ">= 0.8", f"{synthetic:.3f}", synthetic >= 0.8),
            Row("the newest version serves, and flags by the score's sign", f"version {second.version}: no, yes",
                f"version {served}: {', '.join('yes' if flag else 'no' for flag in flags)}",
                served == str(second.version) and second.version == first.version + 1 and agree),
        ),
    )  # fmt: skip


async def champion(home: Path) -> tuple[str, Mapping[str, Any]]:
    """The version that a server would load now, and its answers for the sample and for a flower ten times as large."""
    model = OnnxModel(NAME)
    async with running(model, settings=Settings(home=home)):
        rows = (model.metadata.sample or {})["input"].repeat(2, axis=0)
        rows[1] *= 10
        response = await model.predict(InferenceRequest({"input": rows}, Context("demo")))
        return model.metadata.version, response.outputs
