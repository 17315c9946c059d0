"""Shadow A/B

Need: Try a new model on real requests, without giving its answers to callers
Group: management
Book: chapter6_operation_management/shadow_ab_pattern
Mercari: Shadow AB test
Japanese: シャドーA/Bテストパターン
When: you want to compare a new model with the current one on real requests, before any caller gets its answers
When not: only what users do next shows which model is better; then split the users between the two

Diagram:
    client ─▶ log ─▶ shadow ──▶ iris_sklearn_svc ─▶ the answer
                       └ afterwards ─▶ iris_sklearn_rf ─▶ compared, and logged as role=shadow

Commands:
    mlpatterns train iris_sklearn_svc iris_sklearn_rf
    mlpatterns run shadow_ab
    curl localhost:8000/predict-test/000000; sleep 1; curl 'localhost:8000/shadow?caller_id=000000'
    mlpatterns demo shadow_ab
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpatterns import Answers, Context, Evidence, OnnxModel, PredictionLog, Row, Shadow, UserError, serve
from mlpatterns.testing import FlakyModel, SlowModel, client, until

if TYPE_CHECKING:
    import httpx

SVC, RF = "iris_sklearn_svc", "iris_sklearn_rf"
ASKED, SLOW, PATIENCE = 200, 0.5, 10.0  # requests; seconds of a slow answer; seconds to wait for the report
ENDS = ("", "-label", "-test", "-test-label")
BOOK = {f"/predict{end}/{{job_id}}": f"/predict{end.replace('-', '/')}" for end in ENDS}


def build() -> PredictionLog:
    """Every request is mirrored. Its `job_id` is in the answer, in both log records and in the report."""
    return PredictionLog(Shadow(OnnxModel(SVC), OnnxModel(RF), tests=True))


def job_id(response: Any, context: Context) -> Mapping[str, Any]:
    """The `job_id` of the path, if the path has one."""
    return {"job_id": context.path["job_id"]} if "job_id" in context.path else {}


app = serve(build, answers=Answers(also=job_id, aliases=BOOK))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Compares two real models on all 150 flowers, then tries a slow, a failing and an absent candidate."""
    candidates = {"slow": SlowModel(seconds=SLOW), "failing": FlakyModel(), "absent at start": OnnxModel("nobody")}
    alone = await measure(Shadow(OnnxModel(SVC), FlakyModel(), sample=0, sink="memory://"))
    rows = [await beside(name, Shadow(OnnxModel(SVC), it, sink="memory://"), alone) for name, it in candidates.items()]
    return Evidence("shadow_ab", (*await compared(client), *rows))


async def compared(http: httpx.AsyncClient) -> tuple[Row, Row]:
    """Compares the report about the 150 flowers with the models' own answers."""
    from sklearn.datasets import load_iris

    flowers, job = {"data": load_iris().data.tolist()}, f"demo-{time.time_ns()}"
    async with client({name: OnnxModel(name) for name in (SVC, RF)}) as own:
        answers = [await own.post(f"/models/{name}/predict/label", json=flowers) for name in (SVC, RF)]
    labels = [answer.json()["prediction"] for answer in answers]

    async def seen(path: str, key: str) -> Any:
        async def look() -> Any:
            return (await http.get(path)).json().get(key)

        with suppress(TimeoutError):  # then the rows show what is missing
            return await until(look, PATIENCE)

    await seen("/shadow/figures", "ready")  # before the candidate has started, all samples are dropped
    answer = await http.post(f"/predict/{job}", json=flowers)
    examples = [
        (it["caller_id"], it["prediction_id"]) for it in await seen(f"/shadow?caller_id={job}", "examples") or []
    ]
    found, ours = (await http.get(f"/shadow?caller_id={job}")).json(), answer.headers["x-mlp-prediction-id"]
    told = answer.json().get("job_id") == job, (await http.get(f"/feedback/{ours}")).status_code == 200
    differ, rows = sum(a != b for a, b in zip(*labels, strict=True)), (found.get("differ"), found.get("rows"))
    return (
        Row("the path's job_id is in the answer, our own id in the log, and both in the report", "3 of 3",
            f"{sum((*told, examples == [(job, ours)]))} of 3", all(told) and examples == [(job, ours)]),
        Row("the report finds the flowers that the two tell apart", f"{differ} of 150", "{} of {}".format(*rows),
            rows == (differ, 150) and differ > 0),
    )  # fmt: skip


async def beside(name: str, shadow: Shadow, alone: tuple[list[Any], float, float, Any]) -> Row:
    """Checks that a candidate does not disturb callers. The p50 only has to show that no caller waits for it."""
    try:
        answers, p50, p99, figures = await measure(shadow)
    except UserError:  # the candidate did not start
        answers, p50, p99, figures = [], np.inf, np.inf, {}
    counted = sum(figures.get(end, 0) for end in ("compared", "failed", "dropped", "waiting"))
    right = sum(a == b for a, b in zip(answers, alone[0], strict=False))
    return Row(f"a candidate that is {name} costs no caller an answer, and none waits for it",
               f"{ASKED} right, {ASKED} counted; without it p50 {1000 * alone[1]:.1f}, p99 {1000 * alone[2]:.1f} ms",
               f"{right} right, {counted} counted; with it p50 {1000 * p50:.1f}, p99 {1000 * p99:.1f} ms",
               right == figures.get("sampled") == counted == ASKED and p50 < SLOW / 2)  # fmt: skip


async def measure(shadow: Shadow) -> tuple[list[Any], float, float, Any]:
    """The answers, their p50 and p99 in seconds, and the counts of the sampled requests by outcome."""
    found = []
    async with client(shadow) as http:
        for number in range(ASKED):
            began = time.perf_counter()
            answer = await http.post("/predict", json={"data": [[5.1, 3.5, 1.4, number / 100]]})
            found.append((answer.json(), time.perf_counter() - began))
        figures = (await http.get("/shadow/figures")).json()
    answers, seconds = zip(*found, strict=True)
    return list(answers), *np.quantile(seconds, [0.5, 0.99]).tolist(), figures
