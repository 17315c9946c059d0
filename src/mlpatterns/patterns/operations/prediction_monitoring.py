"""Prediction monitoring

Need: Notice that inputs or answers have drifted
Group: operations
Book: chapter5_operations/prediction_monitoring_pattern
Mercari: Prediction monitoring
Japanese: 推論監視パターン
When: requests may come to differ from the training data: through seasons, new callers or broken sensors
When not: labels come at once, so that you can monitor the error itself; or far fewer than a hundred rows come per day

Diagram:
    row ─▶ log ─▶ model, outlier ─▶ answer
            ┆
            └┄┄▶ SQLite ┄┄▶ monitor: windows by version against the profile ┄┄▶ drift, log, metrics, webhook

Commands:
    mlpatterns train iris_sklearn_svc
    mlpatterns train iris_sklearn_outlier
    mlpatterns run prediction_monitoring
    MLPATTERNS_ALERT_URL=https://chat.example/hook mlpatterns run prediction_monitoring
    mlpatterns demo prediction_monitoring
"""

from __future__ import annotations

from typing import Any

from mlpatterns import (
    Answers,
    Context,
    Evidence,
    InferenceResponse,
    ModelProfiles,
    Monitor,
    OnnxModel,
    OutlierCheck,
    PredictionLog,
    Row,
    chosen_model,
    serve,
)
from mlpatterns.testing import heard_of, iris_rows, watched

NAME, ROWS, ASKED, OUTPUTS = "prediction_monitoring", 200, 80, ("probabilities", "is_outlier", "outlier_score")
SERVED = f"from mlpatterns.patterns.operations.{NAME} import build\napp = serve(lambda: build(interval=0.5))"


def build(interval: float = 60.0, rules: Any = "tests") -> Monitor:
    """The rules ``limits`` are the book's: means within 5 % of the profile's, and at most 20 % outliers."""
    checked = OutlierCheck(model := chosen_model("iris_sklearn_svc"), detector=OnnxModel("iris_sklearn_outlier"))
    return Monitor(PredictionLog(checked), profiles=ModelProfiles(model.reference), interval=interval, rules=rules)


def predict_answer(response: InferenceResponse, context: Context) -> dict[str, Any]:
    """The prediction of each row, whether the row is an outlier, and the milliseconds of model and detector."""
    took = {note.path.rpartition("/")[2]: note.value for note in context.notes if note.key == "ms"}
    given = [response.outputs[name].tolist() for name in OUTPUTS]
    rows, flags, scores = (each[0] if len(each) == 1 else each for each in given)
    return {"job_id": context.prediction_id, "prediction": rows, "prediction_elapsed": took.get("model"),
            "is_outlier": flags, "outlier_score": scores, "outlier_elapsed": took.get("outlier")}  # fmt: skip


def label_answer(response: InferenceResponse, context: Context) -> dict[str, Any]:
    """Like `predict_answer`, with the most probable label in addition."""
    labels = response.described.labels if response.described else ()
    best = [labels[index] for index in response.outputs["probabilities"].argmax(axis=1)]
    return predict_answer(response, context) | {"prediction_label": best[0] if len(best) == 1 else best}


def sample_answer(response: InferenceResponse, context: Context) -> dict[str, Any]:
    """The type, shape and sample of the outlier outputs."""
    return {"outlier_type": "bool, float32", "outlier_structure": "(1,2)",
            "outlier_sample": [response.outputs[name].tolist()[0] for name in OUTPUTS[1:]]}  # fmt: skip


app = serve(build, answers=Answers(predict=predict_answer, label=label_answer, sample=sample_answer))


async def demo(client: Any) -> Evidence:
    """Monitors windows of 200 irises with and without drift, then a new server whose requests drift."""
    sudden = [iris_rows(ROWS, n, longer=0.5 * (n >= 5)) for n in range(10)]  # 0.6 standard deviations
    slow = [iris_rows(ROWS, n, longer=0.05 * n) for n in range(18)]  # one standard deviation after 17
    stuck = [iris_rows(ROWS, n, stuck=n >= 5) for n in range(8)]
    return Evidence(NAME, (await quiet(), await burst(), await webhook(),
        await alerted("a column that drifts at once is alerted of, and no other is", sudden, 5, 3, "sepal_length"),
        await alerted("a slow drift is alerted of before it is a standard deviation", slow, 1, 17, "sepal_length"),
        await alerted("a stuck sensor is described", stuck, 5, 3, "petal_width", "all values are 0.2")))  # fmt: skip


async def quiet() -> Row:
    windows = [iris_rows(ROWS, n) for n in range(30)]
    ours, book = await watched(build(), windows), await watched(build(rules="limits"), windows)
    alerts, false = (sum(window.raised != () for window in found) for found in (ours, book))
    return Row("30 windows without drift raise no alert; the book's rule raises some", "0; 1 or more",
               f"{alerts}; {false}", len(ours) == len(book) == 30 and alerts == 0 < false)  # fmt: skip


async def alerted(claim: str, tables: Any, drifts: int, most: int, name: str, words: str = "") -> Row:
    """The column `name` drifts after `drifts` windows. Its drifted rows may also raise an alert about outliers."""
    found = await watched(build(), tables)
    raised = {subject: window.number - drifts for window in reversed(found) for subject in window.raised}
    said = any(f"{name}: {words}" in detail for window in found for detail in window.details)
    holds = {*raised, "outliers"} == {name, "outliers"} and 0 < raised[name] <= most and said
    return Row(claim, f"{name} after <= {most}", ", ".join(f"{key} after {n}" for key, n in raised.items()), holds)


async def burst() -> Row:
    """In three windows more than half of the rows are not irises."""
    found = await watched(build(), [iris_rows(ROWS, n, mixed=120 * (5 <= n < 8)) for n in range(14)])
    changes = [(window.number, window.raised + window.cleared) for window in found if window.raised or window.cleared]
    holds = [names for _, names in changes] == [("outliers",)] * 2 and 6 <= changes[0][0] <= 8 < changes[1][0]
    return Row("a burst of outliers in windows 6 to 8 is alerted of then; the alert ends later", "in 6 to 8, after 8",
               ", ".join(f"in {number}" for number, _ in changes), holds)  # fmt: skip


async def webhook() -> Row:
    bodies, newest = await heard_of(SERVED, [iris_rows(ROWS, n, longer=1.0) for n in range(ASKED)])
    raised, said = [name for body in bodies for name in body["raised"]], newest.get("alerting", [])
    return Row("a server's own requests raise it: the webhook hears it once, and /drift says it", "sepal_length, twice",
               f"{raised}, {said}", len(bodies) == 1 and "sepal_length" in raised and raised == said)  # fmt: skip
