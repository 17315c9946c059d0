"""mlpatterns: production machine-learning systems made of one set of small pieces.

A leaf makes a model a predictor, a piece wraps predictors and is one, `serve` makes an ASGI app of it:

    app = serve(lambda: Pipeline(PythonModel(...), OnnxModel("file:model.onnx")))

Every name here is imported when it is first used, so that `import mlpatterns` costs next to nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlpatterns.pieces import PIECES

# ONNX Runtime reads it when it is first imported. Without it, it asks for a host of its maker and writes to ~/.cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:  # for type checkers, which do not read the table; a test compares
    from mlpatterns.base import BasePredictor as BasePredictor
    from mlpatterns.base import Wrapper as Wrapper
    from mlpatterns.context import Context as Context
    from mlpatterns.context import Note as Note
    from mlpatterns.errors import AddressInUse as AddressInUse
    from mlpatterns.errors import ArtifactsDown as ArtifactsDown
    from mlpatterns.errors import CompositionError as CompositionError
    from mlpatterns.errors import Conflict as Conflict
    from mlpatterns.errors import DeadlineExceeded as DeadlineExceeded
    from mlpatterns.errors import Denied as Denied
    from mlpatterns.errors import ErrorCode as ErrorCode
    from mlpatterns.errors import InternalError as InternalError
    from mlpatterns.errors import InvalidInput as InvalidInput
    from mlpatterns.errors import InvalidSpec as InvalidSpec
    from mlpatterns.errors import MissingExtra as MissingExtra
    from mlpatterns.errors import MlpatternsError as MlpatternsError
    from mlpatterns.errors import ModelFileError as ModelFileError
    from mlpatterns.errors import NotBuilt as NotBuilt
    from mlpatterns.errors import NotFound as NotFound
    from mlpatterns.errors import NotStarted as NotStarted
    from mlpatterns.errors import Overloaded as Overloaded
    from mlpatterns.errors import PredictionError as PredictionError
    from mlpatterns.errors import RateLimited as RateLimited
    from mlpatterns.errors import RegistryDown as RegistryDown
    from mlpatterns.errors import SettingsError as SettingsError
    from mlpatterns.errors import TooLarge as TooLarge
    from mlpatterns.errors import Unavailable as Unavailable
    from mlpatterns.errors import UnknownName as UnknownName
    from mlpatterns.errors import Unsupported as Unsupported
    from mlpatterns.errors import UserError as UserError
    from mlpatterns.evidence import Evidence as Evidence
    from mlpatterns.evidence import Row as Row
    from mlpatterns.metadata import ModelMetadata as ModelMetadata
    from mlpatterns.metadata import TensorSpec as TensorSpec
    from mlpatterns.model_db.api.app import ModelDB as ModelDB
    from mlpatterns.models.chosen import chosen_model as chosen_model
    from mlpatterns.models.golden_rows import GoldenRows as GoldenRows
    from mlpatterns.models.hot_swap import HotSwap as HotSwap
    from mlpatterns.models.onnx import OnnxModel as OnnxModel
    from mlpatterns.models.python import PythonModel as PythonModel
    from mlpatterns.models.remote import RemoteModel as RemoteModel
    from mlpatterns.pieces import *  # noqa: F403
    from mlpatterns.predictor import Caller as Caller
    from mlpatterns.predictor import Health as Health
    from mlpatterns.predictor import InferenceRequest as InferenceRequest
    from mlpatterns.predictor import InferenceResponse as InferenceResponse
    from mlpatterns.predictor import Operation as Operation
    from mlpatterns.predictor import Predictor as Predictor
    from mlpatterns.predictor import Program as Program
    from mlpatterns.predictor import Runtime as Runtime
    from mlpatterns.registry.client import RegistryClient as RegistryClient
    from mlpatterns.release.context import image_context as image_context
    from mlpatterns.release.engines import find_engine
    from mlpatterns.runtime import running as running
    from mlpatterns.server.answers import Answers as Answers
    from mlpatterns.server.app import App as App
    from mlpatterns.server.app import serve as serve
    from mlpatterns.settings import Settings as Settings
    from mlpatterns.settings import load_settings as load_settings
    from mlpatterns.training import run

    image_engine, train = find_engine, run

# The public names by the module where each lives; those of the pieces are in their own table.
_HOMES = {
    "base": "BasePredictor Wrapper",
    "context": "Context Note",
    "errors": "AddressInUse ArtifactsDown CompositionError Conflict DeadlineExceeded Denied ErrorCode InternalError "
              "InvalidInput InvalidSpec MissingExtra MlpatternsError ModelFileError NotBuilt NotFound NotStarted "
              "Overloaded PredictionError RateLimited RegistryDown SettingsError TooLarge Unavailable UnknownName "
              "Unsupported UserError",
    "evidence": "Evidence Row",
    "metadata": "ModelMetadata TensorSpec",
    "model_db.api.app": "ModelDB",
    "models.chosen": "chosen_model",
    "models.golden_rows": "GoldenRows",
    "models.hot_swap": "HotSwap",
    "models.onnx": "OnnxModel",
    "models.python": "PythonModel",
    "models.remote": "RemoteModel",
    "predictor": "Caller Health InferenceRequest InferenceResponse Operation Predictor Program Runtime",
    "registry.client": "RegistryClient",
    "release.context": "image_context",
    "release.engines": "image_engine",
    "runtime": "running",
    "server.answers": "Answers",
    "server.app": "App serve",
    "settings": "Settings load_settings",
    "training": "train",
}  # fmt: skip
_THERE = {"image_engine": "find_engine", "train": "run"}  # what a name is called where it lives
_MODULES = {name: home for home, names in _HOMES.items() for name in names.split()}
_MODULES |= {piece.name: piece.home for piece in PIECES}
if not TYPE_CHECKING:
    __all__ = sorted([*_MODULES, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("mlpatterns")
    elif name in _MODULES:
        value = getattr(import_module(f"mlpatterns.{_MODULES[name]}"), _THERE.get(name, name))
    else:
        raise AttributeError(f"module 'mlpatterns' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
