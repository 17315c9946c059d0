"""The pieces: each wraps predictors and is one. What they wrap comes first, then options by keyword."""

from __future__ import annotations

from mlpatterns.pieces.fan_out import FanOut
from mlpatterns.pieces.limit import Limit
from mlpatterns.pieces.pipeline import Pipeline
from mlpatterns.pieces.prediction_cache import PredictionCache

__all__ = ["FanOut", "Limit", "Pipeline", "PredictionCache"]
