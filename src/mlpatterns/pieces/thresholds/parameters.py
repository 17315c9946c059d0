"""The parameters of Thresholds: the start values, and the document with the values that commands have set."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from math import isfinite

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import InvalidInput
from mlpatterns.settings import of_part
from mlpatterns.settings_values import BOOLEANS
from mlpatterns.user_errors import SettingsError

__all__ = [
    "Parameters",
    "SetParameters",
    "StoredParameters",
    "differences",
    "flat",
    "from_environment",
    "in_force",
    "replaced",
    "unused_variables",
]

MOST_SECONDS, MOST_RETRIES = 3600.0, 10
VARIABLE = re.compile(r"MLPATTERNS_(THRESHOLD|ACTIVATE)_\w+")


class Parameters(Struct, frozen=True):
    """The parameters that decide how Thresholds answers.

    Attributes:
        thresholds: the smallest score with the decision 1, from 0 to 1, by part.
        active: whether the part is called, by part.
        stopped: whether all requests are refused.
        timeout: the seconds that each part may take, or None for no limit.
        retries: how often a request is repeated to a part that is UNAVAILABLE.
    """

    thresholds: Mapping[str, float]
    active: Mapping[str, bool]
    stopped: bool = False
    timeout: float | None = None
    retries: int = 0

    def checked(self, parts: Collection[str]) -> Parameters:
        """These parameters, after a check.

        Raises:
            InvalidInput: a value is out of its range, or is for a part that does not exist.
        """
        for name in (*self.thresholds, *self.active):
            if name not in parts:
                raise InvalidInput(f"there is no part {name[:64]!r}; the parts are {', '.join(parts)}")
        for name, value in self.thresholds.items():
            if not 0 <= value <= 1:
                raise InvalidInput(f"the threshold of {name!r} must be from 0 to 1, not {value}")
        if self.timeout is not None and not (isfinite(self.timeout) and 0 < self.timeout <= MOST_SECONDS):
            raise InvalidInput(f"the timeout must be more than 0 and at most {MOST_SECONDS:g} seconds")
        if not 0 <= self.retries <= MOST_RETRIES:
            raise InvalidInput(f"retries must be 0 to {MOST_RETRIES}")
        return self


class SetParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The input of the command `parameters`: the values to change. A timeout of 0 removes the timeout."""

    thresholds: dict[str, float] = {}
    active: dict[str, bool] = {}
    stopped: bool | None = None
    timeout: float | None = None
    retries: int | None = None

    def on(self, now: Parameters) -> Parameters:
        """The parameters `now` with these changes."""
        return Parameters(
            {**now.thresholds, **self.thresholds},
            {**now.active, **self.active},
            now.stopped if self.stopped is None else self.stopped,
            now.timeout if self.timeout is None else self.timeout or None,
            now.retries if self.retries is None else self.retries,
        )


class StoredParameters(Struct, frozen=True):
    """The shared document.

    Attributes:
        values: the values that commands have set; None means that the start values apply.
        replaced: the start value of each parameter at the last command that named it; for a parameter that no command
            has named, the start value at the first command.
    """

    values: Parameters | None = None
    replaced: Parameters | None = None


def from_environment(start: Parameters, environ: Mapping[str, str] | None = None) -> Parameters:
    """`start`, with the values of MLPATTERNS_THRESHOLD_<NAME> and MLPATTERNS_ACTIVATE_<NAME> where they are set.

    Raises:
        SettingsError: a variable is malformed.
    """
    thresholds, active = dict(start.thresholds), dict(start.active)
    for name in thresholds:
        said = of_part("THRESHOLD", name, environ=environ)
        if said is not None:
            thresholds[name] = _threshold(name, said)
        said = of_part("ACTIVATE", name, environ=environ)
        if said is not None:
            if said.strip().lower() not in BOOLEANS:
                raise SettingsError(f"MLPATTERNS_ACTIVATE of {name!r} must be 1 or 0, not {said!r}")
            active[name] = BOOLEANS[said.strip().lower()]
    return replace(start, thresholds=thresholds, active=active)


def unused_variables(parts: Collection[str], environ: Mapping[str, str] | None = None) -> list[str]:
    """The variables of this kind that name none of the parts, because they are misspelt or for another app."""
    found = ((VARIABLE.fullmatch(name), name) for name in (os.environ if environ is None else environ))
    return [
        name for match, name in found
        if match and not any(of_part(match[1], part, environ={name: "set"}) for part in parts)
    ]  # fmt: skip


def _threshold(name: str, said: str) -> float:
    try:
        value = float(said)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise SettingsError(f"MLPATTERNS_THRESHOLD of {name!r} must be a number from 0 to 1, not {said!r}")
    return value


def replaced(command: SetParameters, start: Parameters, kept: StoredParameters) -> Parameters:
    """The field `replaced` of the document after `command`.

    A parameter that the command does not name keeps its value, so that `differences` still reports a change of its
    start value.
    """
    before = start if kept.values is None or kept.replaced is None else kept.replaced
    return Parameters(
        {**start.thresholds, **before.thresholds, **{name: start.thresholds[name] for name in command.thresholds}},
        {**start.active, **before.active, **{name: start.active[name] for name in command.active}},
        before.stopped if command.stopped is None else start.stopped,
        before.timeout if command.timeout is None else start.timeout,
        before.retries if command.retries is None else start.retries,
    )


def in_force(start: Parameters, kept: StoredParameters) -> Parameters:
    """The parameters in use: the values that commands have set, for the current parts; otherwise the start values."""
    values = kept.values
    if values is None:
        return start
    return replace(
        values,
        thresholds={name: values.thresholds.get(name, value) for name, value in start.thresholds.items()},
        active={name: values.active.get(name, value) for name, value in start.active.items()},
    )


def differences(start: Parameters, kept: StoredParameters) -> list[str]:
    """A sentence for each start value that has changed since a command replaced it, and so has no effect."""
    if kept.values is None or kept.replaced is None:
        return []
    now, before, holds = flat(start), flat(kept.replaced), flat(in_force(start, kept))
    return [
        f"{what} starts as {now[what]}, a command replaced {before.get(what, 'nothing')} by {holds[what]}, now in force"
        for what in now
        if now[what] != before.get(what) and now[what] != holds[what]
    ]


def flat(values: Parameters) -> dict[str, object]:
    """All parameters in one flat mapping, by name."""
    return {
        **{f"threshold of {name}": value for name, value in values.thresholds.items()},
        **{f"active of {name}": int(value) for name, value in values.active.items()},
        "stopped": int(values.stopped),
        "timeout": values.timeout,
        "retries": values.retries,
    }
