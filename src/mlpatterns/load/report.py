"""The results of a load test: the figures of vegeta, for the whole load, for each step and for each second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from mlpatterns.load.histogram import Histogram
from mlpatterns.load.schedule import Phase
from mlpatterns.load.tally import TallyWindow

__all__ = ["Latencies", "LoadStep", "Report", "Second", "as_json", "make_report"]

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)


class Latencies(Struct, frozen=True):
    """Latencies in seconds; zeros if nothing was measured."""

    min: float
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float


class LoadStep(Struct, frozen=True):
    """The results at one rate.

    Attributes:
        planned_rate: the planned requests per second.
        requests: requests that have an outcome.
        rate: requests per second that were sent.
        throughput: good answers per second, until the last answer.
        attack, wait: seconds of sending, and seconds from its end to the last answer.
        success: the share of answers of 200 to 399.
        good_latencies: the latencies of those answers only.
        status_codes: the number of answers with each status; 0 stands for no answer.
        errors: the reason for a missing answer, or a status outside 200 to 399; and how often each happened.
        latencies: of all requests, in seconds from the planned time.
        bytes_in, bytes_out: bytes of the bodies that were received and sent.
    """

    planned_rate: float
    requests: int
    rate: float
    throughput: float
    attack: float
    wait: float
    latencies: Latencies
    good_latencies: Latencies
    bytes_in: int
    bytes_out: int
    success: float
    status_codes: dict[str, int]
    errors: dict[str, int]


class Second(Struct, frozen=True):
    """The results of the requests planned in one second, which begins `at` seconds after the start.

    Attributes:
        at: the start of the second, in seconds after the start of the load.
        planned, good, failed: numbers of requests.
        p50, p99, max: latencies in seconds.
    """

    at: float
    planned: int
    good: int
    failed: int
    p50: float
    p99: float
    max: float


class Report(LoadStep, frozen=True):
    """The results of the whole load; `planned_rate` is the mean over its steps.

    Attributes:
        late: the generator's own delay between the planned time and the sending. Latencies include it. If it is large,
            the generating machine is too slow, not the server.
        unfinished: requests that had no outcome when the load was interrupted; no other figure counts them.
        steps: the results of each rate, in order.
        seconds: the results of each second, in order.
        percentiles: pairs (share, seconds) in ascending order, for plots.
    """

    late: Latencies
    unfinished: int
    steps: tuple[LoadStep, ...]
    seconds: tuple[Second, ...]
    percentiles: tuple[tuple[float, float], ...]


def make_report(phases: Sequence[Phase], windows: Sequence[TallyWindow], late: Histogram, began: float) -> Report:
    """The report, computed from the counts of the windows.

    Args:
        began: when the first request was planned, by time.monotonic.
    """
    steps, start = [], began
    for number, phase in enumerate(phases):
        of_it = [window for window in windows if window.phase == number]
        if of_it:
            steps.append(_step(phase.rate, of_it, start))
        start += phase.seconds
    planned_rate = sum(phase.rate * phase.seconds for phase in phases) / sum(phase.seconds for phase in phases)
    whole = _step(planned_rate, windows, began)
    latencies = Histogram().merge(window.latencies for window in windows)
    return Report(
        **{field: getattr(whole, field) for field in LoadStep.__struct_fields__},
        late=_latencies(late),
        unfinished=sum(window.planned - window.finished for window in windows),
        steps=tuple(steps),
        seconds=tuple(_second(window) for window in windows),
        percentiles=_curve(latencies),
    )


def as_json(report: Report) -> bytes:
    """The report as JSON: the figures of vegeta with its names and in nanoseconds, and other figures in seconds."""
    return msgspec.json.format(msgspec.json.encode(_vegeta(report) | msgspec.to_builtins(_rest(report))), indent=2)


def _rest(report: Report) -> Mapping[str, Any]:
    kept = ("planned_rate", "good_latencies", "late", "unfinished", "steps", "seconds", "percentiles")
    return {"error_counts": report.errors, **{name: getattr(report, name) for name in kept}}


def _vegeta(report: Report) -> dict[str, Any]:
    found, count = report.latencies, max(1, report.requests)
    named = {"mean": found.mean, "50th": found.p50, "90th": found.p90, "95th": found.p95, "99th": found.p99,
             "99.9th": found.p999, "max": found.max, "min": found.min}  # fmt: skip
    return {
        "latencies": {name: _nanoseconds(value) for name, value in named.items()},
        "bytes_in": {"total": report.bytes_in, "mean": report.bytes_in / count},
        "bytes_out": {"total": report.bytes_out, "mean": report.bytes_out / count},
        "duration": _nanoseconds(report.attack),
        "wait": _nanoseconds(report.wait),
        "requests": report.requests,
        "rate": report.rate,
        "throughput": report.throughput,
        "success": report.success,
        "status_codes": report.status_codes,
        "errors": list(report.errors),
    }


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _step(planned_rate: float, windows: Sequence[TallyWindow], began: float) -> LoadStep:
    latencies = Histogram().merge(window.latencies for window in windows)
    statuses = sum((Counter(window.statuses) for window in windows), Counter[int]())
    errors = sum((Counter(window.errors) for window in windows), Counter[str]())
    errors.update({_status(code): count for code, count in statuses.items() if code and not 200 <= code < 400})
    good = sum(window.good for window in windows)
    ended = max((window.sent for window in windows), default=began)
    attack = max(ended - began, 0.0)
    wait = max(max((window.last for window in windows), default=ended) - ended, 0.0)
    return LoadStep(
        planned_rate,
        latencies.count,
        _per(latencies.count, attack),
        _per(good, attack + wait),
        attack,
        wait,
        _latencies(latencies),
        _latencies(Histogram().merge(window.good_latencies for window in windows)),
        sum(window.bytes_in for window in windows),
        sum(window.bytes_out for window in windows),
        good / latencies.count if latencies.count else 0.0,
        {str(code): statuses[code] for code in sorted(statuses)},
        dict(sorted(errors.items())),
    )


def _per(count: int, seconds: float) -> float:
    """The count per second; if the duration is zero, the count itself, as in vegeta."""
    return count / seconds if seconds > 0 else float(count)


def _status(code: int) -> str:
    from http import HTTPStatus

    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _latencies(found: Histogram) -> Latencies:
    p50, p90, p95, p99, p999 = found.quantiles(SHARES)
    return Latencies(found.least / 1e9, found.mean, p50, p90, p95, p99, p999, found.most / 1e9)


def _second(window: TallyWindow) -> Second:
    middle, high = window.latencies.quantiles((0.5, 0.99))
    return Second(
        window.begin, window.planned, window.good, window.finished - window.good, middle, high,
        window.latencies.most / 1e9,
    )  # fmt: skip


def _curve(found: Histogram) -> tuple[tuple[float, float], ...]:
    """Nine points up to 90 %, nine from there to 99 %, and so on, until the number of values is reached."""
    if not found.count:
        return ()
    shares = [0.0]
    for nines in range(7):
        width = 0.9 * 10.0**-nines
        shares += [1 - 10.0**-nines + width * (part + 1) / 9 for part in range(9)]
        if 10 ** (nines + 1) > found.count:
            break
    return tuple(zip(shares, found.quantiles(shares), strict=True))
