"""The functions `load` and `predict` of a PythonModel, and checks that they accept their arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mlpatterns.metadata import Array
from mlpatterns.user_code import kind_of
from mlpatterns.user_errors import CompositionError

__all__ = ["Functions", "Load", "Predict"]

Load = Callable[[], Any]
Predict = Callable[..., Mapping[str, Any] | Awaitable[Mapping[str, Any]]]

PARAMETERS = "parameters"  # the argument of `predict` that receives the parameters of the request


class Functions:
    """The functions of the model `name`: `predict`, and `load` if there is one. The object can be pickled if the
    functions can.

    Attributes:
        waits: whether one of them is `async def`.

    Raises:
        CompositionError: `predict` is missing, or one of them is not a function, is a generator, or does not accept its
            arguments.
    """

    def __init__(self, load: Load | None, predict: Predict | None, name: str) -> None:
        if predict is None:
            raise CompositionError(
                f"{name!r} has no predict: write PythonModel(predict=…, …), or PythonModel(load, predict, …) "
                "where load makes what predict needs"
            )
        self._load, self._predict = load, predict
        if load is not None:
            _check(name, "load", load, ())
        given = ("inputs",) if load is None else ("state", "inputs")
        self._takes_parameters = _takes_parameters(predict, len(given))
        _check(name, "predict", predict, given, self._takes_parameters)
        self.waits = any(_is(inspect.iscoroutinefunction, one) for one in self.all)

    @property
    def all(self) -> list[Callable[..., Any]]:
        return [one for one in (self._load, self._predict) if one is not None]

    def load(self) -> Any:
        """The result of `load`, or an awaitable of it; None if there is no `load`."""
        return None if self._load is None else self._load()

    def predict(self, state: Any, inputs: Mapping[str, Array], parameters: Mapping[str, Any]) -> Any:
        """The result of `predict`, or an awaitable of it."""
        given = (inputs,) if self._load is None else (state, inputs)
        return self._predict(*given, parameters=parameters) if self._takes_parameters else self._predict(*given)


def _check(name: str, what: str, function: Any, given: tuple[str, ...], parameters: bool = False) -> None:
    if not callable(function):
        raise CompositionError(f"{name!r}: {what} must be a function, not {kind_of(function)}")
    if _is(inspect.isgeneratorfunction, function) or _is(inspect.isasyncgenfunction, function):
        raise CompositionError(f"{name!r}: {what} yields, but its whole result is needed at once; let it return it")
    signature = _signature(function)
    if signature is None:
        return
    try:
        signature.bind(*given, **({PARAMETERS: None} if parameters else {}))
    except TypeError:
        wanted = f"({', '.join(given)})"
        more = f", and {PARAMETERS} if it wants those of the request" if given else ""
        raise CompositionError(
            f"{name!r}: {what} must take {wanted}{more}, but it takes {_shown(signature)}{_hint(what, given)}"
        ) from None


def _hint(what: str, given: tuple[str, ...]) -> str:
    if what == "load":
        return ""
    return "; without load there is no state" if len(given) == 1 else "; state is what load gave"


def _takes_parameters(predict: Any, given: int) -> bool:
    """Whether `predict` has an argument `parameters` after its first `given` arguments."""
    signature = _signature(predict)
    if signature is None or PARAMETERS not in signature.parameters:
        return False
    kind = signature.parameters[PARAMETERS].kind
    by_place = [one for one in signature.parameters.values() if one.kind <= one.POSITIONAL_OR_KEYWORD]
    taken = [one.name for one in by_place[:given]]
    return kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY) and PARAMETERS not in taken


def _signature(function: Any) -> inspect.Signature | None:
    """The signature; None if it is unknown, as for some functions written in C."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _is(test: Callable[[Any], bool], function: Any) -> bool:
    """Whether `test` is true for a function, for the function inside a partial, or for an object's `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    return test(function) or test(getattr(type(function), "__call__", None))  # noqa: B004 - not whether there is one


def _shown(signature: inspect.Signature) -> str:
    """The parameters as in source code, without types and defaults."""
    stars: dict[object, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return f"({', '.join(stars.get(one.kind, '') + one.name for one in signature.parameters.values())})"
