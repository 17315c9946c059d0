"""The parameters of a system of parts: what they are at the start, and the document of what commands have set since."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from math import isfinite

from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.errors import InvalidInput, SettingsError
from mlpatterns.settings import of_part
from mlpatterns.settings_values import BOOLEANS

__all__ = [
    "Parameters",
    "SetParameters",
    "StoredParameters",
    "differences",
    "flat",
    "from_environment",
    "in_force",
    "unused_variables",
]

MOST_SECONDS, MOST_RETRIES = 3600.0, 10
VARIABLE = re.compile(r"MLPATTERNS_(THRESHOLD|ACTIVATE)_\w+")


class Parameters(Struct, frozen=True):
    """How a system of parts answers.

    Attributes:
        thresholds: by part, from 0 to 1: the score from which on its answer is 1.
        active: by part, whether it is asked.
        stopped: nothing is answered.
        timeout: seconds that each part may take, or None.
        retries: how often a part that is unavailable is asked again.
    """

    thresholds: Mapping[str, float]
    active: Mapping[str, bool]
    stopped: bool = False
    timeout: float | None = None
    retries: int = 0

    def checked(self, parts: Collection[str]) -> Parameters:
        """Itself.

        Raises:
            InvalidInput: a value is out of its range, or is for a part that there is not.
        """
        for name in (*self.thresholds, *self.active):
            if name not in parts:
                raise InvalidInput(f"there is no part {name[:64]!r}; there is {', '.join(parts)}")
        for name, value in self.thresholds.items():
            if not 0 <= value <= 1:
                raise InvalidInput(f"the threshold of {name!r} must be from 0 to 1, not {value}")
        if self.timeout is not None and not (isfinite(self.timeout) and 0 < self.timeout <= MOST_SECONDS):
            raise InvalidInput(f"the timeout must be more than 0 and at most {MOST_SECONDS:g} seconds")
        if not 0 <= self.retries <= MOST_RETRIES:
            raise InvalidInput(f"retries must be 0 to {MOST_RETRIES}")
        return self


class SetParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """What the command `parameters` takes: what is to change; what is not given stays. A timeout of 0 takes it away."""

    thresholds: dict[str, float] = {}
    active: dict[str, bool] = {}
    stopped: bool | None = None
    timeout: float | None = None
    retries: int | None = None

    def on(self, now: Parameters) -> Parameters:
        """The parameters that this makes of `now`."""
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
        values: what commands have set; None: the start values hold.
        replaced: the start values of whoever gave the last command.
    """

    values: Parameters | None = None
    replaced: Parameters | None = None


def from_environment(start: Parameters, environ: Mapping[str, str] | None = None) -> Parameters:
    """`start`, but for what MLPATTERNS_THRESHOLD_<NAME> and MLPATTERNS_ACTIVATE_<NAME> say.

    Raises:
        SettingsError: what one says is not right.
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
    """Those variables that name none of the parts: they are misspelt, or another system's."""
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


def in_force(start: Parameters, kept: StoredParameters) -> Parameters:
    """What holds: what commands have set, for the parts that there are; the rest is as at the start."""
    values = kept.values
    if values is None:
        return start
    return replace(
        values,
        thresholds={name: values.thresholds.get(name, value) for name, value in start.thresholds.items()},
        active={name: values.active.get(name, value) for name, value in start.active.items()},
    )


def differences(start: Parameters, kept: StoredParameters) -> list[str]:
    """What the start values say otherwise than those that a command replaced: somebody changed them since, to no effect
    where what the command set holds."""
    if kept.values is None or kept.replaced is None:
        return []
    now, before, holds = flat(start), flat(kept.replaced), flat(in_force(start, kept))
    return [
        f"{what} starts as {now[what]}, a command replaced {before.get(what, 'nothing')} by {holds[what]}, which holds"
        for what in now
        if now[what] != before.get(what) and now[what] != holds[what]
    ]


def flat(values: Parameters) -> dict[str, object]:
    """Each parameter by a name of its own."""
    return {
        **{f"threshold of {name}": value for name, value in values.thresholds.items()},
        **{f"active of {name}": int(value) for name, value in values.active.items()},
        "stopped": int(values.stopped),
        "timeout": values.timeout,
        "retries": values.retries,
    }
