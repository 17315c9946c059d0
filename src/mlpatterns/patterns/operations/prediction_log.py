"""Prediction log

Need: Record every request and answer, without slowing requests down
Group: operations
Book: chapter5_operations/prediction_log_pattern
Mercari: Prediction log
Japanese: 推論ログパターン
When: you need to know later what was answered, and why: to debug, to audit, to retrain, to watch for drift
When not: requests must not be stored at all; if a part of them may be stored, redact columns or sample

Diagram:
    row ─▶ log ─┬▶ model ───▶ probabilities ─┬─▶ answer, flagged if its row is an outlier
            ┆   └▶ outlier ─▶ score ─────────┘
            └┄┄▶ queue ┄┄▶ JSON lines, stdout or SQLite ◀── feedback, later

Commands:
    mlpatterns train iris_sklearn_svc
    mlpatterns train iris_sklearn_outlier
    mlpatterns run prediction_log
    mlpatterns log prediction_log --since 1h --follow
    mlpatterns demo prediction_log
"""

from __future__ import annotations

import asyncio
import time
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlpatterns import Answers, Context, Evidence, InferenceResponse, OnnxModel, OutlierCheck, PredictionLog, Row, serve
from mlpatterns.testing import CountingModel, client, killed_under_load, logged, process

if TYPE_CHECKING:
    import httpx

NAME, ASKED, FLAGS = "prediction_log", 30, ("is_outlier", "outlier_score")
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [1.0, 2.0, 3.0, 4.0]]  # the book's; the last is an outlier


def build() -> PredictionLog:
    """The setting `log` names where records go. A row with a score below `outlier_lower_threshold` is an outlier."""
    return PredictionLog(OutlierCheck(OnnxModel("iris_sklearn_svc"), detector=OnnxModel("iris_sklearn_outlier")))


def predict_answer(response: InferenceResponse, context: Context, predictions: list[Any] | None = None) -> Any:
    """The prediction of each row, and whether the row is an outlier; `job_id` is the prediction's id."""
    rows = [predictions or response.outputs["probabilities"].tolist(), *(response.outputs[f].tolist() for f in FLAGS)]
    found = zip(("prediction", *FLAGS), rows, strict=True)
    return {"job_id": context.prediction_id} | {name: row[0] if len(row) == 1 else row for name, row in found}


def label_answer(response: InferenceResponse, context: Context) -> Any:
    """Like `predict_answer`, but with the most probable label as the prediction."""
    labels = response.described.labels if response.described else ()
    return predict_answer(response, context, [labels[top] for top in response.outputs["probabilities"].argmax(axis=1)])


def sample_answer(response: InferenceResponse, context: Context) -> dict[str, Any]:
    """The type, shape and sample of the outlier outputs."""
    sample = [response.outputs[name].tolist()[0] for name in FLAGS]
    return {"outlier_type": "bool, float32", "outlier_structure": "(1,2)", "outlier_sample": sample}


app = serve(build, answers=Answers(predict=predict_answer, label=label_answer, sample=sample_answer))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Predicts and reads the log; kills a server under load; uses a log that cannot be written."""
    rows = (await recorded(client), await flagged(client), await feedback(client), await killed(), await unwritable())
    return Evidence(NAME, rows)


async def recorded(client: httpx.AsyncClient) -> Row:
    began, rows = time.time(), [[5 + number / 8, 3.5, 1.5, 0.25] for number in range(ASKED)]  # exact in float32
    asked = {(one := await predict(client, row))["job_id"]: ({"input": [row]}, [one["prediction"]]) for row in rows}
    found = [record for record in await logged(since=began - 1, awaited=asked) if record.prediction_id in asked]
    right = {r.prediction_id for r in found if (r.inputs, (r.outputs or {})["probabilities"]) == asked[r.prediction_id]}
    return Row("every request is recorded once, with what was asked and answered", f"{ASKED} records, {ASKED} right",
               f"{len(found)} records, {len(right)} right", len(found) == len(right) == ASKED)  # fmt: skip


async def flagged(client: httpx.AsyncClient) -> Row:
    flags = (await predict(client, *FLOWERS))["is_outlier"]
    single = [(await predict(client, row, path="/predict/label"))["is_outlier"] for row in FLOWERS]
    return Row("of the book's flowers, the one like no iris is an outlier", "[False, False, True]", str(flags),
               flags == single == [False, False, True])  # fmt: skip


async def feedback(client: httpx.AsyncClient) -> Row:
    which = (await predict(client, FLOWERS[0]))["job_id"]
    bodies = [{"prediction_id": each, "name": "label", "value": "setosa"} for each in (which, "unknown")]
    codes = [(await client.post("/feedback", json=body)).status_code for body in bodies]
    kept = "kept" if '"setosa"' in (await client.get(f"/feedback/{which}")).text else "lost"
    return Row("a label that is told later joins its prediction; of another it is a 404", "200, kept; 404",
               f"{codes[0]}, {kept}; {codes[1]}", (*codes, kept) == (200, 404, "kept"))  # fmt: skip


async def killed() -> Row:
    with TemporaryDirectory() as folder:
        async with process(NAME, environ={"MLPATTERNS_LOG": (log := f"sqlite:///{folder}/log.db")}) as server:
            answered = await killed_under_load(server, "/predict", {"data": FLOWERS[:1]}, seconds=1.5)
        kept = {record.prediction_id for record in await logged(log)}
    lost = [age for which, age in answered.items() if which not in kept]
    return Row("kill -9 under load loses no more than the last second", "<= 1.00 s", f"{max(lost, default=0):.2f} s",
               max(lost, default=0) <= 1 and len(lost) < len(answered))  # fmt: skip


async def unwritable() -> Row:
    async with client(PredictionLog(CountingModel(), sink="sqlite:////dev/null/log.db", max_records=5)) as http:
        right = [(await http.post("/predict", json={"data": [[1.0]]})).status_code for _ in range(ASKED)].count(200)
        await asyncio.sleep(1)
        dropped, health = (await http.get("/log")).json().get("dropped"), (await http.get("/health/ready")).json()
    said = "it is said" if "accepts no records" in str(health.get("trouble")) else "it is not said"
    bound, found = f"{ASKED} answered, 25 dropped, it is said", f"{right} answered, {dropped} dropped, {said}"
    return Row("a log that cannot be written breaks no request", bound, found, found == bound)


async def predict(client: httpx.AsyncClient, *rows: list[float], path: str = "/predict") -> Any:
    return (await client.post(path, json={"data": rows})).json()
