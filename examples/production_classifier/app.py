"""Which digit is on this image? `mlpatterns run app.py` serves it."""

from __future__ import annotations

from pathlib import Path

from images import preprocessing

from mlpatterns import HotSwap, OnnxModel, Pipeline, PredictionCache, Predictor, load_settings, serve

__all__ = ["app", "build", "model"]

MODEL = Path(__file__).with_name("model.onnx")
DIGITS = [str(digit) for digit in range(10)]


def build() -> Predictor:
    """PNG -> 64 shades of grey -> the probability of each digit; an image that came before is not even decoded.

    Answers are kept for a day where `MLPATTERNS_CACHE` says: in memory, or in a Redis for all replicas.
    """
    return PredictionCache(Pipeline(preprocessing(), model(), name="digits"), ttl=86_400)


def model() -> Predictor:
    """The file beside this one; with `--model digits:1` that version of the registry, which can be swapped while it
    serves, with `--model digits` whichever version its alias champion names."""
    chosen = load_settings().settings.model
    if chosen is None:
        return OnnxModel(f"file:{MODEL}", name="model", labels=DIGITS)
    return HotSwap(chosen, lambda version: OnnxModel(version, labels=DIGITS), name="model")


app = serve(build)
