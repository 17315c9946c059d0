"""A report in the format of vegeta: eight lines, and then additional lines if there is something to report."""

from __future__ import annotations

from mlpatterns.load.durations import duration
from mlpatterns.load.limit import ServerLimits, Trial
from mlpatterns.load.report import Report

__all__ = ["as_text", "limits_text", "trial_text"]

LATE = 0.01  # seconds of the generator's delay at the 99th percentile from which the report has a line about it


def as_text(report: Report) -> str:
    """The report as text."""
    found, count = report.latencies, max(1, report.requests)
    spread = (found.min, found.mean, found.p50, found.p90, found.p95, found.p99, found.max)
    codes = "  ".join(f"{code}:{many}" for code, many in report.status_codes.items())
    lines = [
        ("Requests", "[total, rate, throughput]", f"{report.requests}, {report.rate:.2f}, {report.throughput:.2f}"),
        ("Duration", "[total, attack, wait]", _durations(report.attack + report.wait, report.attack, report.wait)),
        ("Latencies", "[min, mean, 50, 90, 95, 99, max]", _durations(*spread)),
        ("Bytes In", "[total, mean]", f"{report.bytes_in}, {report.bytes_in / count:.2f}"),
        ("Bytes Out", "[total, mean]", f"{report.bytes_out}, {report.bytes_out / count:.2f}"),
        ("Success", "[ratio]", f"{report.success:.2%}"),
        ("Status Codes", "[code:count]", codes),
    ]
    text = [f"{name:<14}{what:<34}{value}".rstrip() for name, what, value in lines]
    return "\n".join([*text, "Error Set:", *report.errors, *_remarks(report)])


def _remarks(report: Report) -> list[str]:
    found = []
    if len(report.steps) > 1:
        found.append("Steps:")
        found += [
            f"  {step.planned_rate:g}/s: {step.throughput:.2f}/s, {step.success:.2%}, "
            f"p50 {duration(step.latencies.p50)}, p99 {duration(step.latencies.p99)}"
            for step in report.steps
        ]
    if report.unfinished:
        found.append(f"Unfinished: {report.unfinished} requests had no answer yet and are not counted")
    if report.late.p99 > LATE:
        found.append(f"Generator late: 1 in 100 requests was sent {duration(report.late.p99)} or more after its time, "
                     "which the latencies include; this machine is too busy, or the rate too high")  # fmt: skip
    return found


def _durations(*seconds: float) -> str:
    return ", ".join(duration(each) for each in seconds)


def trial_text(trial: Trial) -> str:
    """One line for a trial of a search."""
    step = trial.step
    spread = f"p50 {duration(step.latencies.p50)}, p99 {duration(step.latencies.p99)}"
    return f"{step.planned_rate:.0f}/s: {trial.why or 'held'}, {spread}"


def limits_text(found: ServerLimits) -> str:
    """The results of a search, and the settings that it recommends."""
    held = [trial.step for trial in found.trials if not trial.why and trial.step.planned_rate == found.rate]
    p99 = f", p99 {duration(held[-1].latencies.p99)}" if held else ""
    beyond = "no higher rate was tried" if found.broken is None else f"at {found.broken:.0f} a second {found.why}"
    limit = f"Limit(…, max_concurrency={found.concurrency}, max_queue={found.max_queue})"
    rows = (
        ("Limit", f"{found.rate:.0f} requests a second{p99}"),
        ("Beyond", beyond),
        ("Capacity", f"{found.capacity:.0f} good answers a second under more load"),
        ("Alone", f"an answer takes {duration(found.alone)}, so {found.concurrency} are in progress at the capacity"),
        ("Recommended", f"{limit}, where no request waits for more than a second"),
    )
    return "\n".join(f"{name:<14}{value}" for name, value in rows)
