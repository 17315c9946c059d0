"""mlpatterns: production machine-learning systems made of one set of small pieces.

A leaf makes a model a predictor, a piece wraps predictors and is one, `serve` makes an ASGI app of it:

    app = serve(lambda: Pipeline(PythonModel(...), OnnxModel("file:model.onnx")))

Every name here is imported when it is first used, so that `import mlpatterns` costs next to nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# ONNX Runtime reads it when it is first imported. Without it, it asks for a host of its maker and writes to ~/.cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from mlpatterns.base import BasePredictor, Wrapper
    from mlpatterns.context import Context, Note
    from mlpatterns.errors import (
        AddressInUse,
        ArtifactsDown,
        CompositionError,
        Conflict,
        DeadlineExceeded,
        Denied,
        ErrorCode,
        InternalError,
        InvalidInput,
        InvalidSpec,
        MissingExtra,
        MlpatternsError,
        ModelFileError,
        NotBuilt,
        NotFound,
        NotStarted,
        Overloaded,
        PredictionError,
        RateLimited,
        RegistryDown,
        SettingsError,
        TooLarge,
        Unavailable,
        UnknownName,
        Unsupported,
        UserError,
    )
    from mlpatterns.evidence import Evidence, Row
    from mlpatterns.metadata import ModelMetadata, TensorSpec
    from mlpatterns.model_db.api.app import ModelDB
    from mlpatterns.models.chosen import chosen_model
    from mlpatterns.models.golden_rows import GoldenRows
    from mlpatterns.models.hot_swap import HotSwap
    from mlpatterns.models.onnx import OnnxModel
    from mlpatterns.models.python import PythonModel
    from mlpatterns.models.remote import RemoteModel
    from mlpatterns.pieces.fan_out import FanOut
    from mlpatterns.pieces.limit import Limit
    from mlpatterns.pieces.pipeline import Pipeline
    from mlpatterns.pieces.prediction_cache import PredictionCache
    from mlpatterns.predictor import (
        Caller,
        Health,
        InferenceRequest,
        InferenceResponse,
        Operation,
        Predictor,
        Program,
        Runtime,
    )
    from mlpatterns.registry.client import RegistryClient
    from mlpatterns.release.context import image_context
    from mlpatterns.release.engines import find_engine as image_engine
    from mlpatterns.runtime import running
    from mlpatterns.server.app import App, serve
    from mlpatterns.service import Service
    from mlpatterns.settings import Settings, load_settings
    from mlpatterns.training import run as train

__all__ = [
    "AddressInUse",
    "App",
    "ArtifactsDown",
    "BasePredictor",
    "Caller",
    "CompositionError",
    "Conflict",
    "Context",
    "DeadlineExceeded",
    "Denied",
    "ErrorCode",
    "Evidence",
    "FanOut",
    "GoldenRows",
    "Health",
    "HotSwap",
    "InferenceRequest",
    "InferenceResponse",
    "InternalError",
    "InvalidInput",
    "InvalidSpec",
    "Limit",
    "MissingExtra",
    "MlpatternsError",
    "ModelDB",
    "ModelFileError",
    "ModelMetadata",
    "NotBuilt",
    "NotFound",
    "NotStarted",
    "Note",
    "OnnxModel",
    "Operation",
    "Overloaded",
    "Pipeline",
    "PredictionCache",
    "PredictionError",
    "Predictor",
    "Program",
    "PythonModel",
    "RateLimited",
    "RegistryClient",
    "RegistryDown",
    "RemoteModel",
    "Row",
    "Runtime",
    "Service",
    "Settings",
    "SettingsError",
    "TensorSpec",
    "TooLarge",
    "Unavailable",
    "UnknownName",
    "Unsupported",
    "UserError",
    "Wrapper",
    "__version__",
    "chosen_model",
    "image_context",
    "image_engine",
    "load_settings",
    "running",
    "serve",
    "train",
]

# Where each name lives, where that is not its family's usual place, below.
_HOMES = {
    "App": "server.app",
    "BasePredictor": "base",
    "Evidence": "evidence",
    "FanOut": "pieces.fan_out",
    "GoldenRows": "models.golden_rows",
    "HotSwap": "models.hot_swap",
    "Limit": "pieces.limit",
    "ModelDB": "model_db.api.app",
    "Note": "context",
    "OnnxModel": "models.onnx",
    "Pipeline": "pieces.pipeline",
    "PredictionCache": "pieces.prediction_cache",
    "PythonModel": "models.python",
    "RegistryClient": "registry.client",
    "RemoteModel": "models.remote",
    "Row": "evidence",
    "Service": "service",
    "Settings": "settings",
    "TensorSpec": "metadata",
    "Wrapper": "base",
    "chosen_model": "models.chosen",
    "image_context": "release.context",
    "image_engine": "release.engines",
    "load_settings": "settings",
    "running": "runtime",
    "serve": "server.app",
    "train": "training",
}
_THERE = {"image_engine": "find_engine", "train": "run"}  # what a name is called where it lives
_CORE = {
    "Caller", "Context", "Health", "InferenceRequest", "InferenceResponse", "ModelMetadata", "Operation", "Predictor",
    "Program", "Runtime",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("mlpatterns")
    elif name in __all__:
        home = "predictor" if name in _CORE else _HOMES.get(name, "errors")
        value = getattr(import_module(f"mlpatterns.{home}"), _THERE.get(name, name))
    else:
        raise AttributeError(f"module 'mlpatterns' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
