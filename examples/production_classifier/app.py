"""Which digit is on this image? `mlpatterns run app.py` serves it."""

from __future__ import annotations

from pathlib import Path

from images import preprocessing

from mlpatterns import OnnxModel, Pipeline, PredictionCache, Predictor, serve

__all__ = ["app", "build"]

MODEL = Path(__file__).with_name("model.onnx")
DIGITS = [str(digit) for digit in range(10)]


def build() -> Predictor:
    """PNG -> 64 shades of grey -> the probability of each digit; an image that came before is not even decoded.

    Answers are kept for a day where `MLPATTERNS_CACHE` says: in memory, or in a Redis for all replicas.
    """
    model = OnnxModel(f"file:{MODEL}", name="model", labels=DIGITS)
    return PredictionCache(Pipeline(preprocessing(), model, name="digits"), ttl=86_400)


app = serve(build)
