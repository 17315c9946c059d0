"""Load test

Need: Know how much load the server can take before users find out
Group: management
Book: chapter6_operation_management/load_test_pattern
Mercari: Loading test
Japanese: 負荷テストパターン
When: you prepare a release, or model, server or machine change: find the capacity, the latency and the right settings
When not: you want to see the load of real users (then log it), or you may not put load on the server

Diagram:
    plan: one request every 10 ms ──▶ server ─▶ model
          even when answers stall ◀──
    latency = time of the answer − planned time, so that the wait of a late request counts

Commands:
    mlpatterns train iris_sklearn_svc
    mlpatterns run load_test
    mlpatterns load http://127.0.0.1:8000 --scenario load_test
    mlpatterns load http://127.0.0.1:8000 --steps 100,200,400 --duration 10s --html load.html
    mlpatterns load http://127.0.0.1:8000 --find-limit --p99 50ms
    mlpatterns demo load_test
"""

from __future__ import annotations

import asyncio
import json
from time import perf_counter
from typing import Any

from mlpatterns import Evidence, InferenceRequest, Limit, Predictor, Row, chosen_model, serve
from mlpatterns.testing import CountingModel, SlowModel, Target, attack, find_limit, process

RATE, SECONDS = 100, 5  # the load of the book's README, where it lasts 60 s
PERIOD, STALL = 10.0, 1.0  # seconds: the stalling server does not answer in the last second of every ten
SLOTS, WORK = 4, 0.02  # the server of known capacity: four requests at once, 20 ms each
TRIAL = 1.0  # seconds of load at each rate of the search


def build() -> Predictor:
    """The model that `--model` names, else the champion of iris_sklearn_svc."""
    return chosen_model("iris_sklearn_svc")


class Stalling(CountingModel):
    """Answers immediately, except in the stall that ends each period; a row holds the seconds of period and stall."""

    async def work(self, runtime: Any, request: InferenceRequest) -> None:
        period, stall = map(float, request.inputs["input"][0])
        into = runtime.clock.time() % period
        if into >= period - stall:
            await runtime.clock.sleep(period - into)


app = serve(build)
stalling = serve(Stalling)
known = serve(lambda: Limit(SlowModel(seconds=WORK), max_concurrency=SLOTS, max_queue=10_000, name="known"))


async def demo(client: Any) -> Evidence:
    """Loads three servers: the pattern's own, one that stalls, and one whose capacity is known."""
    sample = (await client.get("/metadata")).json()["data_sample"]
    own = f"{__file__}:stalling", f"{__file__}:known"
    async with process("load_test") as server, process(own[0]) as lazy, process(own[1]) as full:
        rows = await asyncio.gather(readme(server.url, sample), stalled(lazy.url), closed(lazy.url))
        return Evidence("load_test", (*rows, await limit(full.url)))


async def readme(url: str, sample: Any) -> Row:
    """The book's scenario, but shorter."""
    report = await attack(post(url, sample), rate=RATE, seconds=SECONDS)
    found = f"{report.requests} at {report.rate:.1f}/s, {report.success:.0%}, p99 {report.latencies.p99 * 1000:.1f} ms"
    # n requests have n - 1 pauses between them.
    off = abs(report.rate * (1 - 1 / max(1, report.requests)) / RATE - 1)
    holds = report.requests == RATE * SECONDS and report.success == 1 and off < 0.01
    return Row(f"the book's {RATE} requests a second, for {SECONDS:g} s: all sent in time, all answered",
               f"{RATE * SECONDS:g}, rate within 1 %, 100 %", found, holds)  # fmt: skip


async def stalled(url: str) -> Row:
    """In an open loop, the requests in a stall wait for uniform times between 0 and STALL. They are q = STALL / PERIOD
    of all requests, a tenth, so the p99 of all is STALL * (1 - 0.01 / q): 0.9 s for a stall of 1 s."""
    report = await attack(post(url, [[PERIOD, STALL]]), rate=RATE, seconds=PERIOD)
    truth, p99 = true_p99(), report.latencies.p99
    return Row(f"of a server that stalls {STALL:g} s in {PERIOD:g}, the p99 is what users would wait",
               f"{truth:.3f} s within 5 %", f"{p99:.3f} s", abs(p99 / truth - 1) <= 0.05)  # fmt: skip


async def closed(url: str) -> Row:
    """A closed loop, which sends only after an answer, meets each stall once, and so measures too low a p99."""
    import httpx

    took = []
    async with httpx.AsyncClient(trust_env=False) as http:
        until = perf_counter() + PERIOD
        while (began := perf_counter()) < until:
            await http.post(f"{url}/predict", json={"data": [[PERIOD, STALL]]})
            took.append(perf_counter() - began)
            await asyncio.sleep(0.005)
    p99 = sorted(took)[int(len(took) * 0.99)]
    return Row("who asks again only after each answer does not see the stall", f"p99 <= a tenth of {true_p99():.3f} s",
               f"{p99:.3f} s of {len(took)}", p99 <= true_p99() / 10 and max(took) > STALL / 2)  # fmt: skip


async def limit(url: str) -> Row:
    truth = SLOTS / WORK
    found = await find_limit(post(url, [[1.0]]), seconds=TRIAL)
    return Row(f"the limit of {SLOTS} places with {WORK * 1000:g} ms of work is found", f"{truth:g}/s within 10 %",
               f"{found.rate:.0f}/s, {found.concurrency} places", abs(found.rate / truth - 1) <= 0.1)  # fmt: skip


def true_p99() -> float:
    """Seconds; see `stalled`."""
    return STALL * (1 - 0.01 * PERIOD / STALL)


def post(url: str, data: Any) -> Target:
    return Target(f"{url}/predict", "POST", body=json.dumps({"data": data}).encode())
