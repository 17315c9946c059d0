"""Checks that `serve` got a build function, and that this function returned predictors."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from mlpatterns.base import BasePredictor, as_predictor
from mlpatterns.errors import MlpatternsError
from mlpatterns.metadata import ModelMetadata
from mlpatterns.predictor import Predictor
from mlpatterns.references import NAME
from mlpatterns.runtime import Built, roots_of
from mlpatterns.user_code import call_user_code, kind_of, user_exc_info
from mlpatterns.user_errors import CompositionError

__all__ = ["Build", "by_name", "check_metadata", "checked_build"]

log = logging.getLogger("mlpatterns")

Build = Callable[[], Built]

MEMBERS = (
    "name", "children", "apart", "operations", "programs", "reads_headers", "metadata", "depends_on_caller", "describe",
    "identity", "health", "check", "start", "stop", "predict",
)  # fmt: skip
INSTEAD = "serve takes a function that makes what is served, as in serve(build) or serve(lambda: model)"


def checked_build(build: Any) -> Build:
    """Wraps `build` so that its result is checked when the app starts and calls it.

    Raises:
        CompositionError: `build` is not a function that can be called without arguments. The wrapper raises it if
            `build` fails or does not return predictors.
    """
    _check_function(build)

    def checked() -> Built:
        built = _made(build)
        _check_built(built)
        return built  # type: ignore[no-any-return]

    return checked


def by_name(built: Built) -> dict[str, Predictor]:
    """The predictors that a build function returned, by the name under which each is served.

    Raises:
        CompositionError: there is no predictor, two have the same name, or a name cannot be part of a path.
    """
    if isinstance(built, Mapping):
        models = dict(built)
    else:
        several = roots_of(built)
        models = {predictor.name: predictor for predictor in several}
        if len(models) < len(several):
            raise CompositionError("build() returned two predictors with the same name; give each its own, or return a "
                                   "mapping")  # fmt: skip
    if not models:
        raise CompositionError("build() returned no predictor to serve")
    for name in models:
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            raise CompositionError(f"a model cannot be served as {name!r}: a name is letters, digits, '_', '-' and '.'")
    return models


def check_metadata(*models: Predictor) -> None:
    """Checks the metadata of predictors that have started. Metadata that is not available yet is accepted.

    Raises:
        CompositionError: the metadata is not a ModelMetadata, or reading it fails.
    """
    for model in models:
        _check_metadata(model)


def _check_metadata(model: Predictor) -> None:
    try:
        described = call_user_code(lambda: model.metadata)
    except MlpatternsError:
        return  # not available yet; it is read again when it is needed
    except Exception as error:
        log.error("the metadata of %r failed", model.name, exc_info=user_exc_info(error))
        raise CompositionError(f"the metadata of {model.name!r} failed: {_error_text(error)}") from error
    if not isinstance(described, ModelMetadata):
        raise CompositionError(f"the metadata of {model.name!r} must be a ModelMetadata, not {kind_of(described)}")


def _check_function(build: Any) -> None:
    if inspect.iscoroutinefunction(build):
        raise CompositionError("build must not be async: it only makes the predictors, and they start later; write "
                               "def instead of async def")  # fmt: skip
    if not isinstance(build, type) and (hasattr(build, "predict") or not callable(build)):
        raise CompositionError(f"{INSTEAD}, not {kind_of(build)}")
    try:
        inspect.signature(build).bind()
    except ValueError:
        return  # some functions written in C have no signature to check
    except TypeError:
        raise CompositionError(f"{INSTEAD}; {_function_name(build)} needs arguments") from None


def _made(build: Build) -> Any:
    try:
        return call_user_code(build)
    except MlpatternsError:
        raise
    except Exception as error:
        log.error("build() failed", exc_info=user_exc_info(error))
        raise CompositionError(f"build() failed: {_error_text(error)}") from error


def _error_text(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}; the log has its traceback".split())


def _check_built(built: Any) -> None:
    if inspect.iscoroutine(built):
        built.close()  # otherwise Python warns that nobody awaited it
        raise CompositionError("build() returned a coroutine; it must return the predictors themselves, without async")
    parts = built.values() if isinstance(built, Mapping) else built if isinstance(built, list) else [built]
    where = "build() returned" if parts == [built] else f"build() returned {kind_of(built)} with"
    for part in parts:
        _check_predictor(part, where, [])


def _check_predictor(part: Any, where: str, above: list[Any]) -> None:
    """Checks that `part` and everything that it wraps have all members of a predictor."""
    if any(part is other for other in above):
        return  # `part` contains itself; the code that walks the tree reports this
    missing = [member for member in MEMBERS if not _has_member(part, member)]
    if isinstance(part, type) or len(missing) > len(MEMBERS) // 2:
        raise CompositionError(f"{where} {kind_of(part)}, which is not a predictor; {_hint(part)}")
    if missing:
        raise CompositionError(f"{where} {kind_of(part)}, which has no {', '.join(missing)}; derive it from "
                               "BasePredictor, which has the defaults")  # fmt: skip
    if _is_default(part, "metadata") and not _is_default(part, "predict"):  # a piece that never predicts needs none
        raise CompositionError(f"{where} {kind_of(part)}, which has no metadata: give it a property `metadata`, the "
                               "ModelMetadata that says what it takes and gives")  # fmt: skip
    if not isinstance(part.children, Mapping):
        raise CompositionError(f"{where} {kind_of(part)}, whose children are not a mapping of names to predictors")
    for key, child in part.children.items():
        _check_predictor(child, f"{part.name!r} has as its part {key!r}", [*above, part])


def _has_member(part: Any, member: str) -> bool:
    """Whether `part` has `member`. It does not read properties, because they may have no value before the start."""
    try:
        inspect.getattr_static(part, member)
    except AttributeError:
        try:
            return hasattr(part, member)
        except Exception:  # `part` computes the member, but it has no value yet
            return True
    return True


def _is_default(part: Any, member: str) -> bool:
    return getattr(type(part), member, None) is getattr(BasePredictor, member)


def _hint(part: Any) -> str:
    if part is None:
        return "return what is to be served"
    if isinstance(part, type):
        return f"return one that is made of it: {part.__name__}(…)"
    if isinstance(part, tuple | set | frozenset):
        return "return several in a list"
    if hasattr(part, "predict") or callable(part):
        return as_predictor(part)
    return "return a predictor, a list of them or a mapping of names to them"


def _function_name(build: Any) -> str:
    return getattr(build, "__name__", type(build).__name__)
