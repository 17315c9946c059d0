"""A report as vegeta prints it: eight lines, and what is ours after them where there is something to say."""

from __future__ import annotations

from mlpatterns.load.report import Report

__all__ = ["as_text", "duration"]

UNITS = ((1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"))  # below it, in units of
LATE = 0.01  # seconds of lateness of the generator at the 99th percentile that are worth a line


def as_text(report: Report) -> str:
    """The report in lines."""
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


def duration(seconds: float) -> str:
    """As Go writes a duration, with three digits behind the point at most: 850µs, 1.942ms, 59.99s, 1m0s."""
    if seconds < 60:
        for below, unit, name in UNITS:
            if round(seconds / unit, 3) * unit < below - unit * 1e-9:
                return f"{round(seconds / unit, 3):.10g}{name}"
        return f"{round(seconds, 3):.10g}s"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}h{minutes}m{whole % 60}s" if hours else f"{minutes}m{whole % 60}s"
