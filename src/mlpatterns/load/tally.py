"""Counts the outcomes of requests by the second in which each request was planned."""

from __future__ import annotations

from mlpatterns.load.histogram import Histogram

__all__ = ["TallyWindow"]


class TallyWindow:
    """The requests planned in one second of one phase.

    Attributes:
        phase, second: the indexes of the phase, and of the second in it.
        begin: when it begins, in seconds after the start of the load.
        planned: requests that were due; `finished` of them have an outcome.
        latencies: from the planned time to the last byte of the answer, or to the failure.
        good_latencies: latencies of answers of 200 to 399 only, because refused requests can be very fast.
        statuses: answers by HTTP status; 0 stands for no answer.
        errors: error texts, with how often each happened.
        bytes_in, bytes_out: bytes of the bodies.
        sent, last: when the last request was sent, and when the last outcome came, by time.monotonic.
    """

    __slots__ = (
        "begin", "bytes_in", "bytes_out", "errors", "finished", "good_latencies", "last", "latencies", "phase",
        "planned", "second", "sent", "statuses",
    )  # fmt: skip

    def __init__(self, phase: int, second: int, begin: float) -> None:
        self.phase, self.second, self.begin = phase, second, begin
        self.latencies, self.good_latencies = Histogram(), Histogram()
        self.statuses: dict[int, int] = {}
        self.errors: dict[str, int] = {}
        self.planned = self.finished = self.bytes_in = self.bytes_out = 0
        self.sent = self.last = 0.0

    def answered(self, status: int, latency: float, received: int, now: float) -> None:
        self._finished(status, latency, now)
        if 200 <= status < 400:
            self.good_latencies.record(latency)
        self.bytes_in += received

    def failed(self, why: str, latency: float, now: float) -> None:
        self._finished(0, latency, now)
        self.errors[why] = self.errors.get(why, 0) + 1

    def _finished(self, status: int, latency: float, now: float) -> None:
        self.latencies.record(latency)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.finished += 1
        self.last = now

    @property
    def good(self) -> int:
        """The number of answers of 200 to 399."""
        return sum(count for status, count in self.statuses.items() if 200 <= status < 400)
