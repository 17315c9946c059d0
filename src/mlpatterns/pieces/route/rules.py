"""The rules by which a Route sends requests to its parts, from Python or a YAML file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from msgspec import Struct

from mlpatterns.context import Context
from mlpatterns.headers import checked_headers
from mlpatterns.metadata import TensorSpec
from mlpatterns.predictor import InferenceRequest
from mlpatterns.user_code import call_user_code
from mlpatterns.user_errors import CompositionError, MissingExtra, UnknownName

__all__ = ["DataRule", "Rule", "read_rules"]

MOST_BYTES = 64 * 1024  # of a file of rules
TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class DataRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A condition on the data that every row of the request must meet; NaN meets none.

    Args:
        column: the name of the column, or its index in the row, counted from 0.
        input: the name of the input; by default the first.
        at_least: the smallest value that meets the condition.
        below: the value must be less than this.
    """

    column: str | int
    input: str | None = None
    at_least: float | None = None
    below: float | None = None

    def check(self, to: str, inputs: Sequence[TensorSpec]) -> None:
        """Checks that the column exists.

        Args:
            to: the part of the rule, for the error text.
            inputs: the inputs of the model.

        Raises:
            UnknownName: the input or the column does not exist, so no request could meet the condition.
        """
        what = f"of the data in the rule for {to!r}:"
        spec = next((one for one in inputs if self.input in (None, one.name)), None)
        if spec is None:
            raise UnknownName(f"input {what}", str(self.input), [one.name for one in inputs])
        width = spec.shape[-1] if spec.shape else 0
        known = isinstance(self.column, int) and self.column >= 0 and (width < 0 or self.column < width)
        if not known and self.column not in spec.fields:
            raise UnknownName(f"column {what}", str(self.column), spec.fields)

    def holds(self, request: InferenceRequest, inputs: Sequence[TensorSpec]) -> bool:
        """Whether all rows meet the condition; False if the request does not have the column as a number."""
        spec = next((one for one in inputs if self.input in (None, one.name)), None)
        if spec is None or spec.name not in request.inputs:
            return False
        column = spec.fields.index(self.column) if self.column in spec.fields else self.column
        values = request.inputs[spec.name]
        if not isinstance(column, int) or values.ndim != 2 or values.dtype.kind not in "fiu":
            return False
        if not 0 <= column < values.shape[1]:
            return False
        of_rows, kept = values[:, column], np.ones(len(values), bool)
        if self.at_least is not None:
            kept &= of_rows >= self.at_least
        if self.below is not None:
            kept &= of_rows < self.below
        return bool(kept.all())


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sends the requests that meet all its conditions to one part, e.g. ``Rule(to="plants", headers={"target":
    "mountain"})``.

    Args:
        to: the name of the part.
        headers: the value, or a list of allowed values, for each header by name; names are case-insensitive.
        parameters: the required value for each parameter by name.
        between: two times of day, e.g. ("22:00", "06:00"): from the first to just before the second.
        timezone: the IANA name of the time zone of `between`.
        data: conditions on the values. A request about the model meets no condition of `parameters`, `data` or `when`.
        when: a function of the request, for other conditions; only in Python, not in a file.
        timeout: the seconds that the part may take.

    Raises:
        CompositionError: `check`: a condition cannot be used.
    """

    to: str
    headers: Mapping[str, str | tuple[str, ...]] = {}
    parameters: Mapping[str, str | int | float | bool] = {}
    between: tuple[str, str] | None = None
    timezone: str = "UTC"
    data: tuple[DataRule, ...] = ()
    when: Callable[[InferenceRequest], bool] | None = None
    timeout: float | None = None

    def check(self) -> None:
        checked_headers(self.headers, "read")
        if not (self.headers or self.parameters or self.between or self.data or self.when):
            raise CompositionError(
                f"the rule for {self.to!r} has no condition; to send all other requests to it, make it the default"
            )
        if any(value in ("", ()) for value in self.headers.values()):
            raise CompositionError(f"the rule for {self.to!r} needs a value for each of its headers")
        if self.timeout is not None and not self.timeout > 0:
            raise CompositionError(f"the timeout of the rule for {self.to!r} must be more than 0 seconds")
        if any(one.at_least is None and one.below is None for one in self.data):
            raise CompositionError(f"a data condition of the rule for {self.to!r} needs at_least, below or both")
        self._check_time()

    def _check_time(self) -> None:
        if self.between is None:
            return
        if not all(TIME.fullmatch(each) for each in self.between) or self.between[0] == self.between[1]:
            raise CompositionError(
                f'between, of the rule for {self.to!r}, must be two different times, such as "22:00" and "06:00"'
            )
        try:
            ZoneInfo(self.timezone)
        except (OSError, ValueError, KeyError):
            raise CompositionError(f"there is no timezone {self.timezone!r}; write one like Asia/Tokyo") from None

    def meets(
        self, context: Context, request: InferenceRequest | None, inputs: Sequence[TensorSpec], now: float
    ) -> bool:
        """Whether a request meets all conditions.

        Args:
            context, request: the request; `request` is None for a request about the model, which has only a context.
            inputs: the inputs of the model.
            now: the current time in seconds since 1970.

        Raises:
            Exception: the error of `when`.
        """
        given = context.headers
        for name, wanted in self.headers.items():
            value = given.get(name if name.islower() else name.lower())
            if value != wanted if isinstance(wanted, str) else value not in wanted:
                return False
        if self.between is not None and not self._is_between(now):
            return False
        if not (self.parameters or self.data or self.when):
            return True
        return request is not None and self._takes(request, inputs)

    def _takes(self, request: InferenceRequest, inputs: Sequence[TensorSpec]) -> bool:
        return (
            all(_same(request.parameters.get(name), value) for name, value in self.parameters.items())
            and all(one.holds(request, inputs) for one in self.data)
            and (self.when is None or bool(call_user_code(self.when, request)))
        )

    def _is_between(self, now: float) -> bool:
        assert self.between is not None
        here = datetime.fromtimestamp(now, ZoneInfo(self.timezone)).time()
        begin, end = (time.fromisoformat(each) for each in self.between)
        return begin <= here < end if begin < end else here >= begin or here < end


class RuleFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a file of rules."""

    rules: tuple[Rule, ...]
    default: str | None = None


def read_rules(path: Path) -> RuleFile:
    """Reads rules, which have the fields of `Rule`, and the optional default from a YAML file.

    Raises:
        CompositionError: the file cannot be read, or its content is wrong; the error text names the position.
        MissingExtra: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("a YAML file of rules", "yaml") from error
    try:
        text = path.read_bytes()
    except OSError as error:
        raise CompositionError(f"the rules {path} cannot be read: {error.strerror or error}") from error
    if len(text) > MOST_BYTES:
        raise CompositionError(f"the rules {path} are larger than the {MOST_BYTES} bytes that are read")
    try:
        found = yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader that is stricter
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        said = " ".join(str(error).split())[:300]
        raise CompositionError(f"the rules {path} are not right: {said}") from error
    return parse_rules(found, str(path))


def parse_rules(found: Any, where: str) -> RuleFile:
    """The rules in the content of a file.

    Raises:
        CompositionError: the content is not valid.
    """
    try:
        rules = msgspec.convert(found, RuleFile, dec_hook=_no_function)
    except (msgspec.ValidationError, RecursionError) as error:
        hint = '; quote values such as "on", "1" and "22:00"' if "Expected `str" in str(error) else ""
        raise CompositionError(f"the rules {where} are not right: {error}{hint}") from error
    for rule in rules.rules:
        try:
            rule.check()
        except CompositionError as error:
            raise CompositionError(f"the rules {where} are not right: {error}") from error
    return rules


def _no_function(kind: Any, value: Any) -> Any:
    raise msgspec.ValidationError("`when` is a function, which a file cannot hold")


def _loader() -> Any:
    """PyYAML's SafeLoader, which also refuses duplicate keys and aliases."""
    import yaml

    class Strict(yaml.SafeLoader):  # type: ignore[misc]
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("references (*name) are not read")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for number, key in enumerate(keys):
                if key in keys[:number]:
                    raise yaml.YAMLError(f"{key!r} is given twice in line {node.start_mark.line + 1}")
            return super().construct_mapping(node, deep)

    return Strict


def _same(value: Any, wanted: str | int | float | bool) -> bool:
    """Whether two values are equal; a Boolean never equals a number."""
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted
