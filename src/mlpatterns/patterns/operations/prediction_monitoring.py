"""Prediction monitoring

Need: Notice that inputs or answers have drifted
Group: operations
Book: chapter5_operations/prediction_monitoring_pattern
Mercari: Prediction monitoring
Japanese: 推論監視パターン
When: what is asked may come to differ from what the model was trained on: seasons, new callers, broken sensors
When not: the labels come at once, so that the error itself can be watched; or far fewer than a hundred rows come a day

Diagram:
    row ─▶ log ─▶ model, outlier ─▶ answer
            ┆
            └┄┄▶ SQLite ┄┄▶ monitor: windows by version against the profile ┄┄▶ drift, log, metrics, webhook

Commands:
    mlpatterns train iris_sklearn_svc
    mlpatterns train iris_sklearn_outlier
    mlpatterns run prediction_monitoring
    mlpatterns predict http://127.0.0.1:8000 1,2,3,4
    MLPATTERNS_ALERT_URL=https://chat.example/hook mlpatterns run prediction_monitoring
    mlpatterns drift before.csv now.csv
    mlpatterns demo prediction_monitoring
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlpatterns import (
    Answers,
    Context,
    Evidence,
    InferenceResponse,
    Limits,
    ModelProfiles,
    Monitor,
    OnnxModel,
    OutlierCheck,  # fmt: skip
    PredictionLog,
    Row,
    chosen_model,
    serve,
)
from mlpatterns.testing import heard, iris_rows, process, watched

if TYPE_CHECKING:
    import httpx

NAME, ROWS, ASKED = "prediction_monitoring", 200, 80
BOOK = {"sepal_length": 5.84, "sepal_width": 3.06, "petal_length": 3.76, "petal_width": 1.20}
SERVED = f"""from mlpatterns import serve
from mlpatterns.patterns.operations.{NAME} import build
app = serve(lambda: build(interval=0.5))
"""


def build(interval: float = 60.0, rules: Any = "tests") -> Monitor:
    """With the rules ``limits``, the book's: means within 5 %, and at most 20 % of outliers."""
    model = chosen_model("iris_sklearn_svc")
    logged = PredictionLog(OutlierCheck(model, detector=OnnxModel("iris_sklearn_outlier")))
    profiles = ModelProfiles(model.reference)
    return Monitor(logged, profiles=profiles, interval=interval, rules=rules, limits=Limits(BOOK))


def judged(response: InferenceResponse, context: Context) -> Any:
    """The prediction of each row, whether the row is an outlier, and the milliseconds that each took."""
    took = {note.path.rpartition("/")[2]: note.value for note in context.notes if note.key == "ms"}
    outputs = [response.outputs[name].tolist() for name in ("probabilities", "is_outlier", "outlier_score")]
    one = [values[0] if len(values) == 1 else values for values in outputs]
    return {"job_id": context.prediction_id, "prediction": one[0], "prediction_elapsed": took.get("model"),
            "is_outlier": one[1], "outlier_score": one[2], "outlier_elapsed": took.get("outlier")}  # fmt: skip


def named(response: InferenceResponse, context: Context) -> Any:
    """The same with the most probable label beside it."""
    labels = response.described.labels if response.described else ()
    found = [labels[best] for best in response.outputs["probabilities"].argmax(axis=1)]
    return judged(response, context) | {"prediction_label": found[0] if len(found) == 1 else found}


def sampled(response: InferenceResponse, context: Context) -> dict[str, Any]:
    """Types and shapes with a sample, its prediction and whether it is an outlier."""
    sample = [response.outputs[name].tolist()[0] for name in ("is_outlier", "outlier_score")]
    return {"outlier_type": "bool, float32", "outlier_structure": "(1,2)", "outlier_sample": sample}


app = serve(build, answers=Answers(predict=judged, label=named, sample=sampled))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Windows of 200 irises each, which drift or do not; then a server of its own, whose requests drift."""
    sudden = [longer(seed, 0.5 * (seed >= 5)) for seed in range(10)]  # 0.6 standard deviations
    slow = [longer(seed, 0.05 * seed) for seed in range(18)]  # one standard deviation after 17
    stuck = [iris_rows(ROWS, seed) for seed in range(8)]
    for table in stuck[5:]:
        table[:, 3] = 0.2
    return Evidence(NAME, (
        await quiet(),
        await alerted("a column that drifts at once is alerted of, and no other is", sudden, 5, 3, "sepal_length"),
        await alerted("a slow drift is alerted of before it is a standard deviation", slow, 1, 17, "sepal_length"),
        await alerted("a sensor that sticks is alerted of in words", stuck, 5, 3, "petal_width", "all values are 0.2"),
        await burst(),
        await told(),
    ))  # fmt: skip


async def quiet() -> Row:
    windows = [iris_rows(ROWS, seed) for seed in range(30)]
    ours, book = await watched(build(), windows), await watched(build(rules="limits"), windows)
    alerts, false = (sum(bool(window.raised) for window in found) for found in (ours, book))
    return Row("30 windows without drift raise no alert; the book's rule raises some", "0; 1 or more",
               f"{alerts}; {false}", len(ours) == len(book) == 30 and alerts == 0 < false)  # fmt: skip


async def alerted(claim: str, tables: Any, drifts: int, most: int, name: str, words: str = "") -> Row:
    """After `drifts` windows column `name` drifts. Rows that are unlike the training data may be outliers too."""
    found = await watched(build(), tables)
    raised = {subject: window.number - drifts for window in reversed(found) for subject in window.raised}
    shown = ", ".join(f"{subject} after {number}" for subject, number in raised.items()) or "nothing"
    said = any(f"{name}: {words}" in detail for window in found for detail in window.details)
    holds = {*raised, "outliers"} == {name, "outliers"} and 0 < raised[name] <= most and said
    return Row(claim, f"{name} after <= {most}", shown, holds)


async def burst() -> Row:
    """More than half of the rows of three windows are no irises: each column is as ever, but not with the others."""
    tables = [iris_rows(ROWS, seed) for seed in range(14)]
    for table in tables[5:8]:
        for column in range(4):
            table[:120, column] = table[:120, column][iris_rows(120, column)[:, column].argsort()]
    found = await watched(build(), tables)
    raised = {window.number: window.raised for window in found if window.raised}
    cleared = {window.number: window.cleared for window in found if window.cleared}
    shown = "; ".join(", ".join(f"{' '.join(names)} in {number}" for number, names in changes.items()) or "nothing"
                      for changes in (raised, cleared))  # fmt: skip
    return Row("a burst of outliers in windows 6 to 8 is alerted of then; the alert ends later", "outliers; outliers",
               shown, [*raised.values()] == [*cleared.values()] == [("outliers",)] and min(raised) <= 8 < min(cleared)
               )  # fmt: skip


async def told() -> Row:
    """A real server, real requests, and a webhook."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "served.py").write_text(SERVED)
        environ = {f"MLPATTERNS_{name}": f"sqlite:///{folder}/{name}.db" for name in ("LOG", "MONITOR", "CONTROL")}
        async with (
            heard() as hook,
            process(Path(folder) / "served.py", environ=environ | {"MLPATTERNS_ALERT_URL": hook.url}) as server,
        ):
            for seed in range(ASKED):
                await server.http.post("/predict", json={"data": longer(seed, 1.0).tolist()})
                await asyncio.sleep(0.2)
                if hook.bodies:
                    break
            windows = (await server.http.get("/drift", params={"limit": 1})).json().get("windows", [])
    raised, said = [body["raised"] for body in hook.bodies], [window.get("alerting") for window in windows]
    shown = [", ".join(names[0] or ()) if names else "nothing" for names in (raised, said)]
    return Row("a server's own requests raise it: the webhook hears it once, and /drift says it",
               "sepal_length; sepal_length", "; ".join(shown), len(raised) == 1 and "sepal_length" in raised[0]
               and raised == said)  # fmt: skip


def longer(seed: int, by: float) -> Any:
    """Irises whose sepals are `by` cm longer."""
    table = iris_rows(ROWS, seed)
    table[:, 0] += by
    return table
