"""The figures, and how text, JSON and the page show them."""

from __future__ import annotations

from html.parser import HTMLParser

import msgspec
import pytest

from mlpatterns.load.durations import duration
from mlpatterns.load.histogram import Histogram
from mlpatterns.load.page import as_page
from mlpatterns.load.report import Report, as_json, make_report
from mlpatterns.load.schedule import phases
from mlpatterns.load.tally import TallyWindow
from mlpatterns.load.text import as_text


def report(*, late: float = 0.0001, steps: int = 1, unfinished: int = 0) -> Report:
    """100 a second for 2 s, one step or several: 1 to 100 ms in each second, then one 503 and one without answer."""
    windows = []
    for step in range(steps):
        for second in range(2):
            window = TallyWindow(step, second, 2.0 * step + second)
            window.planned, window.sent = 102 + unfinished, 1000.0 + 2 * step + second + 0.99
            window.bytes_out = 102 * 32
            window.answered(503, 0.001, 0, 1000.0)
            window.failed("connection refused", 0.002, 1000.0)
            for number in range(1, 101):
                window.answered(200, number / 1000, 20, 1000.0 + 2 * step + second + number / 100)
            windows.append(window)
    lateness = Histogram()
    lateness.record(late)
    return make_report(phases([100] * steps, 2), windows, lateness, 1000.0)


TEXT = """\
Requests      [total, rate, throughput]         204, 102.51, 100.00
Duration      [total, attack, wait]             2s, 1.99s, 10ms
Latencies     [min, mean, 50, 90, 95, 99, max]  1ms, 49.539ms, 49.005ms, 90.014ms, 94.994ms, 98.992ms, 100ms
Bytes In      [total, mean]                     4000, 19.61
Bytes Out     [total, mean]                     6528, 32.00
Success       [ratio]                           98.04%
Status Codes  [code:count]                      0:2  200:200  503:2
Error Set:
503 Service Unavailable
connection refused"""


def test_the_text_is_vegetas() -> None:
    assert as_text(report()) == TEXT


def test_what_is_ours_follows_only_where_there_is_something_to_say() -> None:
    text = as_text(report(late=0.05, steps=2, unfinished=3))
    assert text.startswith("Requests      [total, rate, throughput]         408, ")
    assert "Steps:\n  100/s: 100.00/s, 98.04%, p50 49.005ms, p99 98.992ms\n  100/s: " in text
    assert "Unfinished: 12 requests had no answer yet and are not counted" in text
    assert "Generator late: 1 in 100 requests was sent 50ms or more after its time" in text


def test_the_json_has_vegetas_names_in_nanoseconds_and_ours() -> None:
    found = msgspec.json.decode(as_json(report()))
    assert found["latencies"]["99th"] == pytest.approx(99e6, rel=1e-3)
    assert found["latencies"] | {"min": 0} == found["latencies"] | {"min": 0, "max": 100_000_000}
    assert (found["requests"], found["success"]) == (204, pytest.approx(200 / 204))
    assert (found["status_codes"], found["bytes_in"]["total"]) == ({"0": 2, "200": 200, "503": 2}, 4000)
    assert found["errors"] == ["503 Service Unavailable", "connection refused"]
    assert found["error_counts"] == {"503 Service Unavailable": 2, "connection refused": 2}
    assert [(second["at"], second["good"], second["failed"]) for second in found["seconds"]] == [
        (0, 100, 2),
        (1, 100, 2),
    ]
    assert (found["duration"], found["wait"]) == (1_990_000_000, 10_000_000)


def test_percentiles_rise_to_the_slowest() -> None:
    shares, seconds = zip(*report().percentiles, strict=True)
    assert list(shares) == sorted(shares)
    assert list(seconds) == sorted(seconds)
    assert seconds[-1] == pytest.approx(0.1, rel=2e-3)


def test_a_load_of_which_nothing_came_is_reported_all_the_same() -> None:
    empty = make_report(phases(1, 1), [], Histogram(), 5.0)
    assert as_text(empty).startswith("Requests      [total, rate, throughput]         0, 0.00, 0.00\n")
    assert "<svg" in as_page(empty, "nothing")
    assert msgspec.json.decode(as_json(empty))["requests"] == 0


class Page(HTMLParser):
    """What a page consists of, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_is_whole_in_itself_and_draws_three_charts() -> None:
    text = as_page(report(steps=2), "http://127.0.0.1/<script>")
    page = Page(text)
    assert (page.loaded, page.tags.count("svg"), page.tags.count("table")) == ([], 3, 1)
    assert "script" not in page.tags
    assert "&lt;script&gt;" in text
    assert "99.9%" in text
    assert page.tags.count("rect") == 8  # good and failed of four seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (9.9e-8, "99ns"), (0.00085, "850µs"), (0.000999999, "999.999µs"), (0.0009999999, "1ms"),
        (0.0019416, "1.942ms"), (0.9999999, "1s"), (1.9, "1.9s"), (59.99, "59.99s"), (59.9999, "1m0s"), (60, "1m0s"),
        (3599.7, "1h0m0s"), (3725, "1h2m5s"),
    ],
)  # fmt: skip
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
