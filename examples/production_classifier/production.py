"""The same classifier for production: with a log, a challenger, a circuit breaker, a cache, and asynchronous jobs.

`mlpatterns run production.py` answers `/models/digits/predict` at once, and `/models/digits_later/predict` by jobs.
"""

from __future__ import annotations

from pathlib import Path

from images import preprocessing

from mlpatterns import (
    CircuitBreaker,
    JobQueue,
    OnnxModel,
    Pipeline,
    PredictionCache,
    PredictionLog,
    Predictor,
    Shadow,
    Split,
    serve,
)

__all__ = ["app", "build"]

FOLDER = Path(__file__).parent
DIGITS = [str(digit) for digit in range(10)]


def build() -> dict[str, Predictor]:
    """A log around a split of two arms: a model with a cache and a breaker, and a challenger with a shadow.

    `mlpatterns work production.py` runs the jobs, or the server itself does if it is a single process.
    """
    champion = PredictionCache(CircuitBreaker(classifier("model"), slow_call_duration_threshold=1.0), ttl=86_400)
    challenger = Shadow(classifier("challenger"), classifier("next"))
    arms = Split({"champion": champion, "challenger": challenger}, weights={"champion": 80, "challenger": 20},
                 sticky_by="user-id")  # fmt: skip
    return {
        "digits": PredictionLog(arms, name="digits"),
        "digits_later": JobQueue(classifier("model"), name="digits_later"),
    }


def classifier(file: str) -> Predictor:
    """PNG -> 64 shades of grey -> the probability of each digit, by the ONNX file of this name beside this module."""
    model = OnnxModel(f"file:{FOLDER / file}.onnx", name="model", labels=DIGITS)
    return Pipeline(preprocessing(), model, name=file)


app = serve(build)
