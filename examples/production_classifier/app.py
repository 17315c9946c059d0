"""Which digit is on this image? `mlpatterns run app.py` serves it."""

from __future__ import annotations

from pathlib import Path

from images import preprocessing

from mlpatterns import HotSwap, OnnxModel, Pipeline, PredictionCache, Predictor, load_settings, serve

__all__ = ["app", "build", "model"]

MODEL = Path(__file__).with_name("model.onnx")
DIGITS = [str(digit) for digit in range(10)]


def build() -> Predictor:
    """PNG -> 64 shades of grey -> the probability of each digit; a cached image is not even decoded.

    Answers are kept for a day in the store that `MLPATTERNS_CACHE` names: memory by default, or Redis for all replicas.
    """
    return PredictionCache(Pipeline(preprocessing(), model(), name="digits"), ttl=86_400)


def model() -> Predictor:
    """The file model.onnx beside this module, or a registered model that can be swapped while it serves.

    `--model digits:1` chooses version 1, and `--model digits` the version that the alias champion names.
    """
    chosen = load_settings().settings.model
    if chosen is None:
        return OnnxModel(f"file:{MODEL}", name="model", labels=DIGITS)
    return HotSwap(chosen, lambda version: OnnxModel(version, labels=DIGITS), name="model")


app = serve(build)
