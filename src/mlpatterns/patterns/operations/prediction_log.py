"""Prediction log

Need: Keep every request and answer, without slowing any
Group: operations
Book: chapter5_operations/prediction_log_pattern
Mercari: Prediction log
Japanese: 推論ログパターン
When: somebody will ask what was answered, and why: to debug, to audit, to train anew, to watch for drift
When not: what is asked must not be kept at all; redact columns or sample if a part may be

Diagram:
    row ─▶ log ─┬▶ model ───▶ probabilities ─┬─▶ answer, flagged if its row is an outlier
            ┆   └▶ outlier ─▶ score ─────────┘
            └┄┄▶ queue ┄┄▶ JSON lines, stdout or SQLite ◀── feedback, later

Commands:
    mlpatterns train iris_sklearn_svc
    mlpatterns train iris_sklearn_outlier
    mlpatterns run prediction_log
    mlpatterns log prediction_log --since 1h --follow
    MLPATTERNS_LOG=stdout:// mlpatterns run prediction_log
    mlpatterns demo prediction_log
"""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections import Counter
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlpatterns import (
    Answers,
    Context,
    Evidence,
    InferenceResponse,
    OnnxModel,
    OutlierCheck,
    PredictionLog,
    Predictor,
    Row,
    chosen_model,
    serve,
)  # fmt: skip
from mlpatterns.testing import CountingModel, client, logged, process

if TYPE_CHECKING:
    import httpx

NAME = "prediction_log"
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [1.0, 2.0, 3.0, 4.0]]  # the book's; the last is like none
ASKED, LOAD = 30, 1.5


def build() -> Predictor:
    """Records go to the setting `log`; `outlier_lower_threshold` is the score below which a row is an outlier."""
    model = chosen_model("iris_sklearn_svc")
    return PredictionLog(OutlierCheck(model, detector=OnnxModel("iris_sklearn_outlier")))


def judged(response: InferenceResponse, context: Context) -> Any:
    """The prediction of each row, and whether the row is an outlier; `job_id` is the prediction's id."""
    return shaped(response, context, response.outputs["probabilities"].tolist())


def named(response: InferenceResponse, context: Context) -> Any:
    """The same with the most probable label."""
    labels = response.described.labels if response.described else ()
    return shaped(response, context, [labels[best] for best in response.outputs["probabilities"].argmax(axis=1)])


def shaped(response: InferenceResponse, context: Context, predictions: list[Any]) -> Any:
    flags, scores = (response.outputs[name].tolist() for name in ("is_outlier", "outlier_score"))
    rows = {"prediction": predictions, "is_outlier": flags, "outlier_score": scores}
    return {"job_id": context.prediction_id} | {key: row[0] if len(row) == 1 else row for key, row in rows.items()}


def sampled(response: InferenceResponse, context: Context) -> dict[str, Any]:
    """Types and shapes with a sample, its prediction and whether it is an outlier."""
    sample = [response.outputs["is_outlier"].tolist()[0], response.outputs["outlier_score"].tolist()[0]]
    return {"outlier_type": "bool, float32", "outlier_structure": "(1,2)", "outlier_sample": sample}


app = serve(build, answers=Answers(predict=judged, label=named, sample=sampled))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Asks, and reads the log; kills a server under load; takes the log's disk away."""
    rows = (await recorded(client), await flagged(client), await told(client), await killed(), await unwritable())
    return Evidence(NAME, rows)


async def recorded(client: httpx.AsyncClient) -> Row:
    began, rows = time.time(), [[5 + number / 8, 3.5, 1.5, 0.25] for number in range(ASKED)]  # exact in float32
    asked = {(answer := await predict(client, row))["job_id"]: (row, answer["prediction"]) for row in rows}
    found = [record for record in await logged(since=began - 1, awaited=asked) if record.prediction_id in asked]
    once = sum(count == 1 for count in Counter(record.prediction_id for record in found).values())
    right = sum([*(record.inputs or {"": []}).values()] == [[asked[record.prediction_id][0]]]
                and (record.outputs or {}).get("probabilities") == [asked[record.prediction_id][1]]
                for record in found)  # fmt: skip
    return Row("every request is recorded once, with what was asked and answered", f"{ASKED} once, {ASKED} right",
               f"{once} once, {right} right", once == right == len(asked) == ASKED)  # fmt: skip


async def flagged(client: httpx.AsyncClient) -> Row:
    flags = (await predict(client, *FLOWERS))["is_outlier"]
    single = [(await predict(client, row, path="/predict/label"))["is_outlier"] for row in FLOWERS]
    shown = ", ".join("yes" if flag else "no" for flag in flags)
    return Row("of the book's flowers, the one like no iris is an outlier", "no, no, yes", shown,
               flags == single == [False, False, True])  # fmt: skip


async def told(client: httpx.AsyncClient) -> Row:
    body = {"prediction_id": (await predict(client, FLOWERS[0]))["job_id"], "name": "label", "value": "setosa"}
    codes = [
        (await client.post("/feedback", json={**body, **other})).status_code for other in ({}, {"prediction_id": "x"})
    ]
    read = await client.get(f"/feedback/{body['prediction_id']}")
    values = [each["value"] for each in read.json()] if read.status_code == 200 else ["nothing"]
    return Row("a label that is told later joins its prediction; of another it is a 404", "setosa, 404",
               f"{', '.join(values)}, {codes[1]}", codes == [200, 404] and values == ["setosa"])  # fmt: skip


async def killed() -> Row:
    """A real server, several callers at once, SIGKILL."""
    answered: dict[str, float] = {}

    async def ask(http: httpx.AsyncClient) -> None:
        while True:
            which = (await predict(http, FLOWERS[0]))["job_id"]
            answered[which] = time.monotonic()
            await asyncio.sleep(0.01)

    with TemporaryDirectory() as folder:
        log = f"sqlite:///{folder}/log.db"
        async with process(NAME, environ={"MLPATTERNS_LOG": log}) as server:
            callers = [asyncio.create_task(ask(server.http)) for _ in range(4)]
            await asyncio.sleep(LOAD)
            end = time.monotonic()
            await server.stop(signal.SIGKILL)
            await asyncio.gather(*callers, return_exceptions=True)
        kept = {record.prediction_id for record in await logged(log)}
    lost = [end - at for which, at in answered.items() if which not in kept]
    oldest = max(lost, default=0.0)
    return Row("kill -9 under load loses no more than the last second", "<= 1.00 s", f"{oldest:.2f} s",
               oldest <= 1 and len(lost) < len(answered))  # fmt: skip


async def unwritable() -> Row:
    """A log whose folder is no folder, and a queue of five."""
    async with client(PredictionLog(CountingModel(), sink="sqlite:////dev/null/log.db", max_records=5)) as http:
        right = [(await http.post("/predict", json={"data": [[1.0]]})).status_code for _ in range(ASKED)].count(200)
        for _ in range(40):
            if "takes no records" in (health := await http.get("/health/ready")).text:
                break
            await asyncio.sleep(0.05)
        counts = re.findall(r"^mlpatterns_log_dropped_total\S* (\d+)", (await http.get("/metrics")).text, re.M)
    dropped, said = sum(map(int, counts)), "takes no records" in health.text and health.status_code == 200
    return Row("a log that cannot be written breaks no request; it is counted and said",
               f"{ASKED} answered, 25 dropped", f"{right} answered, {dropped} dropped{'' if said else ', not said'}",
               (right, dropped, said) == (ASKED, 25, True))  # fmt: skip


async def predict(client: httpx.AsyncClient, *rows: list[float], path: str = "/predict") -> Any:
    return (await client.post(path, json={"data": rows})).json()
