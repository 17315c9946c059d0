"""The same classifier as it runs in production: logged, tried against another, protected, cached, and asynchronous too.

`mlpatterns run production.py` serves `/models/digits/predict` now, and `/models/digits_later/predict` by jobs.
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
    """A log around a split of two arms: the cached model behind a breaker, and a challenger that a third one shadows.

    The jobs are done by `mlpatterns work production.py`, or by the server itself where it is one process.
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
    """PNG -> 64 shades of grey -> the probability of each digit, by the ONNX file of this name beside this one."""
    model = OnnxModel(f"file:{FOLDER / file}.onnx", name="model", labels=DIGITS)
    return Pipeline(preprocessing(), model, name=file)


app = serve(build)
