"""Circuit breaker

Need: Stop calling a model that fails, and answer with something else
Group: management
Book: chapter6_operation_management/circuit_breaker_pattern
Mercari: Prediction circuit break
Japanese: 推論サーキットブレーカーパターン
When: a model may fail, or get more requests than it can answer, and callers need an answer or a refusal at once
When not: the model itself must answer every request, however late; use a queue for that

Diagram:
    client ──▶ limit ──▶ fallback ──▶ circuit breaker ──▶ model
       ◀── 503   │          │  open, or it failed
     too many ◀──┘          └──▶ constant, marked degraded

Commands:
    mlpatterns train iris_sklearn_svc
    mlpatterns run circuit_breaker
    mlpatterns predict http://127.0.0.1:8000 '[5.1, 3.5, 1.4, 0.2]'
    curl http://127.0.0.1:8000/breaker
    mlpatterns demo circuit_breaker
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from mlpatterns import CircuitBreaker, ConstantModel, Evidence, Fallback, Limit, Predictor, Row, chosen_model, serve
from mlpatterns.testing import FlakyModel, SlowModel, client, loaded

if TYPE_CHECKING:
    import httpx

NAME, FAILS, ASKED, WAIT, TRIES = "circuit_breaker", 10, 50, 1.5, 3
RATE, SECONDS, BODY = 1000, 10, b'{"data": [[1.0, 1.0]]}'  # the book's load


def build() -> Predictor:
    """At most 100 requests run at once and 100 wait; a circuit breaker guards the model."""
    return guarded(chosen_model("iris_sklearn_svc"), slow_call_duration_threshold=2.0)


def guarded(model: Predictor, **options: Any) -> Predictor:
    """Requests above the limits are refused. If the model fails or the breaker is open, a constant model answers."""
    breaker = CircuitBreaker(model, **options)
    return Limit(Fallback(breaker, ConstantModel(model), name=NAME), max_concurrency=100, max_queue=100)


app = serve(build)
slow = partial(SlowModel, seconds=0.005, blocking=True)  # on four threads: at most 800 requests a second
bounded, unbounded = serve(lambda: guarded(slow())), serve(slow)  # what the demo loads
BOUNDED, UNBOUNDED = f"{__file__}:bounded", f"{__file__}:unbounded"


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Lets a model fail and recover, and puts load on a model that is too slow."""
    return Evidence(NAME, (await working(client), *await failing(), *await overload()))


async def working(client: httpx.AsyncClient) -> Row:
    answers = [await ask(client, [[5.1, 3.5, 1.4, 0.2]]) for _ in range(ASKED)]
    own = sum(answer.status_code == 200 and "x-mlp-fallback" not in answer.headers for answer in answers)
    return same("a model that works is always asked", f"{ASKED} by it, CLOSED", f"{own} by it, {await state(client)}")


async def failing() -> tuple[Row, ...]:
    """A model that fails while `down` is true."""
    down = True
    model = FlakyModel(fails=lambda call: down)
    few = {"minimum_number_of_calls": FAILS, "permitted_number_of_calls_in_half_open_state": TRIES}
    async with client(guarded(model, wait_duration_in_open_state=WAIT, **few)) as http:
        during = [await ask(http) for _ in range(ASKED)]
        reached, opened = model.calls, await state(http)
        await asyncio.sleep(WAIT)
        during += [await ask(http) for _ in range(ASKED)]
        tried, still = model.calls - reached, await state(http)
        await asyncio.sleep(WAIT)
        down = False
        after, closed = [await ask(http) for _ in range(ASKED)], await state(http)
    stood_in, own = sum(map(stands_in, during)), sum(answer.text == '{"prediction":[2.0]}' for answer in after)
    return (
        same(f"after {FAILS} failures it is left alone", f"{FAILS} reach it, OPEN", f"{reached} reach it, {opened}"),
        same("meanwhile all are answered, and the answers say so", f"{2 * ASKED} degraded", f"{stood_in} degraded"),
        same("then a few requests find that it still fails", f"{TRIES} reach it, OPEN", f"{tried} reach it, {still}"),
        same("and later that it has recovered", f"{ASKED} by it, CLOSED", f"{own} by it, {closed}"),
    )


async def overload() -> tuple[Row, ...]:
    """The book's load on a slow model, with the limits of this pattern and with the server's own, which are higher."""
    found = await loaded(BOUNDED, BODY, rate=RATE, seconds=SECONDS)
    wide = await loaded(UNBOUNDED, BODY, rate=RATE, seconds=0.4 * SECONDS)
    codes = " and ".join(f"{many} x {code}" for code, many in found.report.status_codes.items())
    took, without = (f"{one.most} at once, p99 {one.report.good_latencies.p99:.2f} s" for one in (found, wide))
    return (
        Row(f"{RATE} a second for {SECONDS} s: each is answered or refused", "200 and 503", codes,
            set(found.report.status_codes) == {"200", "503"}),
        Row("so the answered ones do not wait behind a long queue", "<= 200 at once",
            f"{took}; without bounds {without}", 0 < found.most <= 200),
    )  # fmt: skip


def same(claim: str, bound: str, measured: str) -> Row:
    return Row(claim, bound, measured, bound == measured)


def stands_in(answer: httpx.Response) -> bool:
    """Whether the answer is the constant model's and is marked as a fallback."""
    marks = answer.headers.get("x-mlp-fallback"), answer.headers.get("x-mlp-degraded")
    return marks == ("constant", "true") and answer.json() == {"prediction": [1.0]}


async def ask(client: httpx.AsyncClient, data: Any = ((1.0, 1.0),)) -> httpx.Response:
    return await client.post("/predict", json={"data": data})


async def state(client: httpx.AsyncClient) -> str:
    return str((await client.get("/breaker")).json()["state"])
