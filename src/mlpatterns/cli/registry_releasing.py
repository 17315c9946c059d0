"""Moves an alias after checks, and writes the messages about a version that was registered."""

from __future__ import annotations

from typing import Literal, Protocol

from mlpatterns.cli.output import note
from mlpatterns.cli.registry_access import RegistryAccess
from mlpatterns.references import DEFAULT_ALIAS
from mlpatterns.settings import Settings
from mlpatterns.user_errors import ModelFileError, UserError, WrongUse

__all__ = [
    "FORCE", "PROMOTE", "Registered", "check_force", "move_checked", "outcome", "require_promoted", "warn_if_behind",
]  # fmt: skip

PROMOTE = "Move the alias `champion` to the new version, if the version passes the checks."
FORCE = "With --promote: move the alias even if a check fails."
FORCED = "--force releases it all the same"


def check_force(promote: bool, force: bool) -> None:
    """Checks that there is something to force.

    Raises:
        WrongUse: `force` without `promote`.
    """
    if force and not promote:
        raise WrongUse("--force goes with --promote; without it nothing is released")


class Registered(Protocol):
    """The facts about a version that a command registered; see RegisteredVersion."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def champion(self) -> bool: ...
    @property
    def released(self) -> int | None: ...
    @property
    def behind(self) -> str: ...
    @property
    def refused(self) -> str: ...


def move_checked(
    registry: RegistryAccess,
    settings: Settings,
    name: str,
    number: int,
    alias: str,
    expected: int | Literal["any"] | None,
) -> None:
    """Moves an alias to a version after loading and testing the version on this machine.

    Raises:
        UserError: the version fails a check, or its evaluation is far worse.
        PredictionError: the registry refuses, for example because the alias has moved in the meantime.
    """
    from mlpatterns.models.release_checks import check_release

    worse = registry.behind(name, number, alias)  # fails first if the version does not exist
    try:
        seen = check_release(name, number, alias, settings)
    except ModelFileError as error:
        raise UserError(f"{error}; {FORCED}") from error
    if worse:
        raise UserError(f"{worse}: look before you release it; {FORCED}")
    registry.move(name, alias, number, seen if expected == "any" else expected)


def outcome(one: Registered, unfit: str = "") -> str:
    """The state of a new version: ``champion``, or ``registered; champion is iris:1; `…` releases it``.

    Args:
        unfit: why that command would be refused; empty if it would not.
    """
    if one.champion:
        return f"champion, though {unfit}" if unfit else "champion"
    now = "there is no champion" if one.released is None else f"champion is {one.name}:{one.released}"
    if unfit:
        return f"registered; {now}; it cannot be released: {unfit}"
    return f"registered; {now}; `mlpatterns registry alias {one.name}:{one.version} {DEFAULT_ALIAS}` releases it"


def warn_if_behind(one: Registered) -> None:
    """Warns that a version is far worse than the champion, before a user promotes it."""
    if one.behind:
        note(f"{one.behind}: check it before you promote it")


def require_promoted(*versions: Registered) -> None:
    """Checks that every version that should have been promoted was promoted.

    Raises:
        UserError: a version should have been promoted, but was not.
    """
    sentences = [_refusal(one) for one in versions if one.refused]
    for sentence in sentences[:-1]:
        note(sentence)
    if sentences:
        raise UserError(sentences[-1])


def _refusal(one: Registered) -> str:
    command = f"`mlpatterns registry alias {one.name}:{one.version} {DEFAULT_ALIAS} --force`"
    return f"{one.name}:{one.version} is registered, not promoted: {one.refused}; {command} releases it all the same"
