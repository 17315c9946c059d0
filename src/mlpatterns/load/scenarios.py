"""The named loads of the book's READMEs."""

from __future__ import annotations

from msgspec import Struct

from mlpatterns.user_errors import UnknownName

__all__ = ["SCENARIOS", "Scenario", "scenario"]


class Scenario(Struct, frozen=True):
    """A rate in requests per second, and its duration in seconds."""

    rate: float
    seconds: float


SCENARIOS = {
    "load_test": Scenario(rate=100, seconds=60),
    "circuit_breaker": Scenario(rate=1000, seconds=10),
}


def scenario(name: str) -> Scenario:
    """The scenario with this name.

    Raises:
        UnknownName: there is no scenario with this name.
    """
    if name not in SCENARIOS:
        raise UnknownName("scenario", name, SCENARIOS)
    return SCENARIOS[name]
