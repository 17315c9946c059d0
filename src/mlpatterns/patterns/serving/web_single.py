"""Web single

Need: Put one model behind one web server
Group: serving
Book: chapter4_serving_patterns/web_single_pattern
Mercari: Web single
Japanese: Webシングルパターン
When: you have one model, callers want its answers at once, and one process (or copies of it) can do all the work
When not: the input must be prepared on other hardware than the model's, or an answer takes longer than a client waits

Diagram:
    client ── POST /predict ──▶ server ─▶ model
           ◀── prediction ─────

Commands:
    mlpatterns train iris_sklearn_svc
    mlpatterns run web_single
    mlpatterns predict http://127.0.0.1:8000 5.1,3.5,1.4,0.2 --label
    mlpatterns demo web_single
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlpatterns import Evidence, Predictor, Row, chosen_model, serve

if TYPE_CHECKING:
    import httpx

CONCURRENT = 200


def build() -> Predictor:
    """The model that `--model` names, else the champion of iris_sklearn_svc."""
    return chosen_model("iris_sklearn_svc")


app = serve(build)


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Sends requests as users would: several rows, all of iris, an invalid row, and many requests at once."""
    rows, truth = iris()
    return Evidence(
        "web_single",
        (await every_row(client, [rows[0], rows[75], rows[149]]), await accuracy(client, rows, truth),
         await bad_row(client, rows[0]), await together(client, rows)),
    )  # fmt: skip


async def every_row(client: httpx.AsyncClient, rows: Sequence[list[float]]) -> Row:
    """Sends rows of three classes, so that a server that gives all of them the first row's answer fails."""
    whole = await predict(client, rows)
    single = [await predict(client, [row]) for row in rows]
    same = len(whole) == len(rows) and all(map(close, whole, single)) and not close(single[0], single[1])
    return Row("each of 3 rows gets its own answer", "3 answers", f"{len(whole)} answers", same)


async def accuracy(client: httpx.AsyncClient, rows: Sequence[list[float]], truth: Sequence[str]) -> Row:
    answer = await client.post("/predict/label", json={"data": rows})
    labels = answer.json().get("prediction", [])
    share = sum(map(str.__eq__, labels, truth)) / len(truth) if len(labels) == len(truth) else 0.0
    return Row("accuracy on all 150 flowers, over HTTP", ">= 0.93", f"{share:.3f}", share >= 0.93)


async def bad_row(client: httpx.AsyncClient, good: list[float]) -> Row:
    bad = await client.post("/predict", json={"data": [[*good[:3], "wide"]]})
    after = await client.post("/predict", json={"data": [good]})
    holds = bad.status_code == 400 and "petal_width" in bad.json()["error"] and after.status_code == 200
    return Row("a bad value is a 400 that names its column; the server lives", "400, 200",
               f"{bad.status_code}, {after.status_code}", holds)  # fmt: skip


async def together(client: httpx.AsyncClient, rows: Sequence[list[float]]) -> Row:
    order = [number % len(rows) for number in range(CONCURRENT)]
    expected = await predict(client, rows)
    answers = await asyncio.gather(*[predict(client, [rows[number]]) for number in order], return_exceptions=True)
    right = 0
    if len(expected) == len(rows):
        right = sum(close(answer, expected[number]) for number, answer in zip(order, answers, strict=True))
    varied = len(set(map(str, expected))) > 3  # else swapped answers would pass
    claim = f"{CONCURRENT} requests at once, each gets the answer to its own row"
    return Row(claim, f"{CONCURRENT} right", f"{right} right", right == CONCURRENT and varied)


async def predict(client: httpx.AsyncClient, rows: Sequence[list[float]]) -> list[Any]:
    """The prediction for `rows`.

    Raises:
        RuntimeError: the server refused.
    """
    answer = await client.post("/predict", json={"data": rows})
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.status_code}: {answer.text}")
    prediction: list[Any] = answer.json()["prediction"]
    return prediction


def close(one: Any, other: Any) -> bool:
    """Whether two answers are equal within float32 rounding, because a batch may be summed in another order."""
    if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
        return False
    return all(abs(a - b) < 1e-5 for a, b in zip(one, other, strict=True))


def iris() -> tuple[list[list[float]], list[str]]:
    """The 150 rows of iris and their labels."""
    from sklearn.datasets import load_iris

    found = load_iris()
    return found.data.tolist(), [str(found.target_names[index]) for index in found.target]
