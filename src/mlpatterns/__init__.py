"""mlpatterns: production machine-learning systems made of one set of small pieces.

A leaf turns a model into a predictor. A piece wraps predictors and is a predictor itself. `serve` turns a predictor
into an ASGI app:

    app = serve(lambda: Pipeline(PythonModel(...), OnnxModel("file:model.onnx")))

Every public name is imported when it is first used, so that `import mlpatterns` costs next to nothing. `__init__.pyi`
lists the names with their modules, for this file and for type checkers.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

# ONNX Runtime reads this variable when it is first imported. Without it, ONNX Runtime looks up a host of its vendor and
# writes to ~/.cache.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_HOMES = {name: (module, name) for module, name in re.findall(r"^from (\S+) import (\w+)", _STUB, re.MULTILINE)}
_HOMES |= {name: _HOMES.pop(there) for name, there in re.findall(r"^(\w+) = (\w+)$", _STUB, re.MULTILINE)}
__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("mlpatterns")
    elif name in _HOMES:
        module, there = _HOMES[name]
        value = getattr(import_module(module), there)
    else:
        raise AttributeError(f"module 'mlpatterns' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
