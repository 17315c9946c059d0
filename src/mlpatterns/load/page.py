"""A report as one HTML file with charts. The file needs no other files."""

from __future__ import annotations

import math

from mlpatterns.load.chart import Series, chart
from mlpatterns.load.durations import duration
from mlpatterns.load.report import LoadStep, Report
from mlpatterns.load.text import as_text
from mlpatterns.server.pages.html import Markup, element

__all__ = ["as_page"]

STYLE = """
:root { color-scheme: light dark; --good: #2a7; --bad: #d43; --middle: #37c; --high: #c60; --line: #8884; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; } svg text { fill: currentColor; }
figure { margin: 2rem 0; } figcaption { font-weight: 600; } .grid { stroke: var(--line); fill: none; }
.line { fill: none; stroke-width: 1.5; } .legend span { margin-right: 1.5rem; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.line.good { stroke: var(--good); } .line.bad { stroke: var(--bad); } .line.middle { stroke: var(--middle); }
.line.high { stroke: var(--high); } rect.good { fill: var(--good); } rect.bad { fill: var(--bad); }
i.good { background: var(--good); } i.bad { background: var(--bad); } i.middle { background: var(--middle); }
i.high { background: var(--high); } table { border-collapse: collapse; }
td, th { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid var(--line); }
"""
NINES = ("0%", "90%", "99%", "99.9%", "99.99%", "99.999%", "99.9999%", "99.99999%")


def as_page(report: Report, title: str) -> str:
    """The report as an HTML page.

    Args:
        title: the title of the page, which names what was loaded.
    """
    head = (element("meta", charset="utf-8"), element("title", title), element("style", Markup(STYLE)),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"))  # fmt: skip
    body = (element("h1", title), element("pre", as_text(report), tabindex="0"), *_steps(report.steps),
            _latencies(report), _percentiles(report), _answers(report))  # fmt: skip
    return f"<!doctype html>\n{element('html', element('head', *head), element('body', *body), lang='en')}\n"


def _latencies(report: Report) -> Markup:
    lines = [
        Series("99th percentile", "high", [(second.at, second.p99) for second in report.seconds]),
        Series("median", "middle", [(second.at, second.p50) for second in report.seconds]),
        Series("slowest", "bad", [(second.at, second.max) for second in report.seconds]),
    ]
    return chart("Latency by the second in which the request was planned", lines, duration, duration)


def _percentiles(report: Report) -> Markup:
    points = [(_nines(share), seconds) for share, seconds in report.percentiles]
    marks = [float(number) for number in range(len(NINES))]
    title = "Latency by percentile"
    return chart(title, [Series("latency", "middle", points)], lambda x: NINES[round(x)], duration, marks)


def _nines(share: float) -> float:
    """The number of nines: 0.9 gives 1, 0.99 gives 2. On this scale a chart shows the few slow requests."""
    return -math.log10(max(1 - share, 1e-7))


def _answers(report: Report) -> Markup:
    bars = [
        Series("good", "good", [(second.at, second.good) for second in report.seconds], bars=True),
        Series("failed", "bad", [(second.at, second.failed) for second in report.seconds], bars=True),
    ]
    return chart("Requests by the second in which they were planned", bars, duration, lambda y: f"{y:g}")


def _steps(steps: tuple[LoadStep, ...]) -> list[Markup]:
    if len(steps) < 2:
        return []
    names = ("Rate", "Good answers a second", "Success", "Median", "99th percentile", "Slowest")
    rows = [
        (f"{step.planned_rate:g}/s", f"{step.throughput:.2f}", f"{step.success:.2%}", duration(step.latencies.p50),
         duration(step.latencies.p99), duration(step.latencies.max))
        for step in steps
    ]  # fmt: skip
    return [element("table", element("tr", *(element("th", name) for name in names)),
                    *(element("tr", *(element("td", cell) for cell in row)) for row in rows))]  # fmt: skip
