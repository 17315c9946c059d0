"""Durations in the format of Go, which vegeta uses."""

from __future__ import annotations

__all__ = ["duration"]

UNITS = ((1e-6, 1e-9, "ns"), (1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"))  # (upper bound, unit in seconds, name)


def duration(seconds: float) -> str:
    """A duration as text, with at most three decimals: 850µs, 1.942ms, 59.99s, 1m0s."""
    if seconds == 0:
        return "0s"
    for below, unit, name in UNITS:
        value = round(seconds / unit, 3)
        if value < round(below / unit):
            return f"{value:.10g}{name}"
    if round(seconds, 3) < 60:
        return f"{round(seconds, 3):.10g}s"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}h{minutes}m{whole % 60}s" if hours else f"{minutes}m{whole % 60}s"
