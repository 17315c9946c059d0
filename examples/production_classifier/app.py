"""Which digit is on this image? `mlpatterns run app.py` serves it."""

from __future__ import annotations

from pathlib import Path

from images import preprocessing

from mlpatterns import OnnxModel, Pipeline, Predictor, serve

__all__ = ["app", "build"]

MODEL = Path(__file__).with_name("model.onnx")
DIGITS = [str(digit) for digit in range(10)]


def build() -> Predictor:
    """PNG -> 64 shades of grey -> the probability of each digit."""
    return Pipeline(preprocessing(), OnnxModel(f"file:{MODEL}", name="model", labels=DIGITS), name="digits")


app = serve(build)
