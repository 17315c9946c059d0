"""The app that the soak serves beside `up`, with gRPC: a swapped model with a shadow candidate that never answers."""

from __future__ import annotations

from mlpatterns import HotSwap, Predictor, RemoteModel, Shadow, serve

__all__ = ["app", "build"]

DEAD = "http://127.0.0.1:9"  # the port of RFC 863, on which nothing listens


def build() -> Predictor:
    """The candidate never answers; the caller must not notice."""
    return Shadow(HotSwap("iris_sklearn_svc"), RemoteModel(DEAD, "iris_sklearn_svc", timeout=1.0))


app = serve(build)
