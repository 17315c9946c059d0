"""Circuit breaker

Need: Stop asking a model that fails, and answer with something else
Group: management
Book: chapter6_operation_management/circuit_breaker_pattern
Mercari: Prediction circuit break
Japanese: 推論サーキットブレーカーパターン
When: more may be asked than a model can answer, or it may fail, and callers must have an answer or a refusal at once
When not: every request must be answered by the model itself, however late, which is a queue's work

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
import re
from typing import TYPE_CHECKING, Any

from mlpatterns import CircuitBreaker, ConstantModel, Evidence, Fallback, Limit, Predictor, Row, chosen_model, serve
from mlpatterns.testing import FlakyModel, Report, SlowModel, Target, attack, client, process

if TYPE_CHECKING:
    import httpx

FAILS, ASKED, WAIT, TRIES = 10, 50, 1.5, 3
RATE, SECONDS = 1000, 10  # the book's load
SLOW = 0.005  # seconds of one of the model's four threads: it can answer 800 requests a second


def build() -> Predictor:
    """100 requests are answered at once and 100 wait; the model that is asked is guarded by a breaker."""
    return guarded(chosen_model("iris_sklearn_svc"), "circuit_breaker", slow_call_duration_threshold=2.0)


def guarded(model: Predictor, name: str, **options: Any) -> Predictor:
    """What overflows is refused; what fails, or would, is answered with equal shares for all classes."""
    breaker = CircuitBreaker(model, **options)
    return Limit(Fallback(breaker, ConstantModel(model), name=name), max_concurrency=100, max_queue=100)


def slow() -> Predictor:
    """A model that cannot answer what the book's load asks."""
    return SlowModel(seconds=SLOW, blocking=True)


app = serve(build)
bounded, unbounded = serve(lambda: guarded(slow(), "slow")), serve(slow)  # what the demo loads
BOUNDED, UNBOUNDED = f"{__file__}:bounded", f"{__file__}:unbounded"


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Lets a model fail and recover, and loads one that is too slow."""
    rows = (await untroubled(client), *await failing(), *await overload())
    return Evidence("circuit_breaker", rows)


async def untroubled(client: httpx.AsyncClient) -> Row:
    """The model itself, which does not fail."""
    answers = [await ask(client, [[5.1, 3.5, 1.4, 0.2]]) for _ in range(ASKED)]
    state = (await client.get("/breaker")).json()["state"]
    own = sum(answer.status_code == 200 and "x-mlp-fallback" not in answer.headers for answer in answers)
    return Row("a model that works is asked every time", f"{ASKED} by the model, CLOSED",
               f"{own} by the model, {state}", (own, state) == (ASKED, "CLOSED"))  # fmt: skip


async def failing() -> tuple[Row, ...]:
    """A model that fails for as long as it is told to."""
    down = True
    model = FlakyModel(fails=lambda call: down)
    options = {"minimum_number_of_calls": FAILS, "permitted_number_of_calls_in_half_open_state": TRIES}
    system = guarded(model, "circuit_breaker", wait_duration_in_open_state=WAIT, **options)
    async with client(system) as http:
        during = [await ask(http) for _ in range(ASKED)]
        reached, opened = model.calls, await state_of(http)
        await asyncio.sleep(WAIT)
        again = [await ask(http) for _ in range(ASKED)]
        tried, still = model.calls - reached, await state_of(http)
        await asyncio.sleep(WAIT)
        down = False
        after = [await ask(http) for _ in range(ASKED)]
        closed = await state_of(http)
    stood_in = sum(stands_in(answer) for answer in (*during, *again))
    own = sum(answer.status_code == 200 and answer.json() == {"prediction": [2.0]} for answer in after)
    return (
        Row(f"after {FAILS} failures the model is left alone", f"{FAILS} reach it, OPEN",
            f"{reached} reach it, {opened}", (reached, opened) == (FAILS, "OPEN")),
        Row("meanwhile all are answered, and the answers say so", f"{2 * ASKED} degraded", f"{stood_in} degraded",
            stood_in == 2 * ASKED),
        Row("then a few requests find out that it still fails", f"{TRIES} reach it, OPEN", f"{tried} reach it, {still}",
            (tried, still) == (TRIES, "OPEN")),
        Row("and later that it has recovered", f"{ASKED} by the model, CLOSED", f"{own} by the model, {closed}",
            (own, closed) == (ASKED, "CLOSED")),
    )  # fmt: skip


async def overload() -> tuple[Row, ...]:
    """The book's load on a slow model, with the bounds of this pattern and with the server's own, which are wider."""
    found, most = await loaded(BOUNDED, SECONDS)
    wide, without = await loaded(UNBOUNDED, 0.4 * SECONDS)
    codes = " and ".join(f"{many} x {code}" for code, many in found.status_codes.items())
    took, else_took = (f"99 of 100 within {one.good_latencies.p99:.2f} s" for one in (found, wide))
    return (
        Row(f"{RATE} a second for {SECONDS} s: each is answered or refused", "200 and 503", f"{codes}",
            set(found.status_codes) == {"200", "503"}),
        Row("so the answered ones do not wait behind a long queue", "<= 200 at once",
            f"{most} at once, {took}; without bounds {without}, {else_took}", 0 < most <= 200),
    )  # fmt: skip


async def loaded(target: str, seconds: float) -> tuple[Report, int]:
    """What the load finds, and how many requests were in the server at once."""
    async with process(target) as server:
        most = [0]

        async def look() -> None:
            while True:
                most.append(await inside(server.http))
                await asyncio.sleep(0.1)

        looking = asyncio.create_task(look())
        url = f"{server.url}/predict"
        found = await attack(Target(url, "POST", body=b'{"data": [[1.0, 1.0]]}'), rate=RATE, seconds=seconds)
        looking.cancel()
        return found, max(most)


async def inside(client: httpx.AsyncClient) -> int:
    """How many requests are in the server, by its own count."""
    text = (await client.get("/metrics")).text
    counts = re.findall(r'^mlpatterns_limit_(?:in_flight|queued){piece="server:\S*"} (\S+)$', text, re.M)
    return sum(int(float(count)) for count in counts)


def stands_in(answer: httpx.Response) -> bool:
    """Whether it is the constant's, and says so."""
    marks = answer.headers.get("x-mlp-fallback"), answer.headers.get("x-mlp-degraded")
    return answer.status_code == 200 and marks == ("constant", "true") and answer.json() == {"prediction": [1.0]}


async def ask(client: httpx.AsyncClient, data: Any = ((1.0, 1.0),)) -> httpx.Response:
    return await client.post("/predict", json={"data": data})


async def state_of(client: httpx.AsyncClient) -> str:
    return str((await client.get("/breaker")).json()["state"])
