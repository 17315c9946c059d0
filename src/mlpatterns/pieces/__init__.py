"""The pieces: each wraps predictors and is one. What they wrap comes first, then options by keyword.

Each is imported when it is first used: a server pays for those that it is made of.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlpatterns.pieces.fan_out import FanOut
    from mlpatterns.pieces.limit import Limit
    from mlpatterns.pieces.pipeline import Pipeline
    from mlpatterns.pieces.prediction_cache import PredictionCache

__all__ = ["FanOut", "Limit", "Pipeline", "PredictionCache"]

_HOMES = {"FanOut": "fan_out", "Limit": "limit", "Pipeline": "pipeline", "PredictionCache": "prediction_cache"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
