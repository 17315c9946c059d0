"""Online A/B

Need: Compare two models on real users
Group: management
Book: chapter6_operation_management/online_ab_pattern
Mercari: Online AB test
Japanese: オンラインA/Bテストパターン
When: two models are good enough for users, and what users do next shows which one is better
When not: a bad answer would do harm, or you learn nothing about an answer afterwards; then use a shadow

Diagram:
    client ── user-id ───▶ log ─▶ hash ─▶ 10,000 buckets ─┬─ 60 % ─▶ iris_sklearn_svc
           ── /feedback ─▶ experiment: which did better?  └─ 40 % ─▶ iris_sklearn_rf

Commands:
    mlpatterns train iris_sklearn_svc iris_sklearn_rf
    mlpatterns run online_ab
    mlpatterns predict http://127.0.0.1:8000 '[[5.1, 3.5, 1.4, 0.2]]'
    curl localhost:8000/weights localhost:8000/experiment
    mlpatterns demo online_ab
"""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlpatterns import Answers, Evidence, Experiment, Metric, OnnxModel, PredictionLog, Row, Split, load_settings, serve
from mlpatterns.testing import client

if TYPE_CHECKING:
    import httpx

SVC, RF = "iris_sklearn_svc", "iris_sklearn_rf"
USERS, NOBODY, CHANCE = 1000, 200, 4.5  # CHANCE in standard deviations: exceeded by chance once in 150,000


def build() -> Experiment:
    """By their `user-id`, 60 of 100 users get one model and 40 the other; the metric `converted` compares them."""
    split = Split({name: OnnxModel(name) for name in (SVC, RF)}, weights={SVC: 60, RF: 40}, sticky_by="user-id")
    return Experiment(PredictionLog(split), Metric("converted", partial=True), name="online_ab")


def mode(response: Any, context: Any) -> dict[str, Any]:
    """`mode` is the name of the model that answered."""
    return {"mode": response.described.name}


app = serve(build, answers=Answers(also=mode))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Sends requests of 1000 users and requests without a user, changes the weights, and reports conversions."""
    return Evidence("online_ab", (*await answered(client), *await moved()))


async def answered(http: httpx.AsyncClient) -> tuple[Row, Row]:
    """Checks which model answered, and its answer."""
    async with client({name: OnnxModel(name) for name in (SVC, RF)}) as models:
        own = {name: (await ask(models, path=f"/models/{name}/predict")).json()["prediction"] for name in (SVC, RF)}
    drawn = [(await ask(http)).json() for _ in range(NOBODY)]
    right, seen = sum(answer["prediction"] == own[answer["mode"]] for answer in drawn), {a["mode"] for a in drawn}
    return (
        Row("`mode` is the model that answered", f"{NOBODY} equal to its own answer", f"{right} equal",
            right == NOBODY and own[SVC] != own[RF]),
        Row("a request without a user is drawn anew each time", "both models", f"{len(seen)} of 2", len(seen) == 2),
    )  # fmt: skip


async def moved() -> tuple[Row, ...]:
    """Two replicas share weights and log: checks 60 to 40, the conversions, 50 to 50, and the undo."""
    with TemporaryDirectory() as folder:
        stores = {name: f"sqlite:///{folder}/{name}.db" for name in ("control", "log")}
        settings = load_settings({**stores, "admin_token": "demo"}).settings
        served = [serve(build, answers=app.answers, settings=settings) for _ in range(2)]
        async with client(served[0], headers={"x-admin-token": "demo"}) as one, client(served[1]) as other:
            first, found = await converted(one)
            kept = sum(first[user] == arm for user, arm in (await arms(other)).items())
            await one.post("/weights", json={"weights": {SVC: 50, RF: 50}})
            second = await arms(one)
            await one.post("/weights/undo")
            third = await arms(one)
    change = [second[user] for user in first if first[user] != second[user]]
    differ, count = sum(first[user] != third[user] for user in first), [*first.values()].count(SVC)
    return (
        Row("what users did tells which model is better", f"decided: {RF}", found, found == f"decided: {RF}"),
        Row("a user keeps the model, in every replica", f"{USERS} do", f"{kept} do", kept == USERS),
        Row("60 of 100 users meet the one model", *about(0.6, count)),
        Row("new weights move what the arm that grows takes, no more", *about(0.1, len(change), change.count(SVC))),
        Row("an undo brings back all who were moved", "0 differ", f"{differ} differ", differ == 0 and bool(change)),
    )  # fmt: skip


async def converted(http: httpx.AsyncClient) -> tuple[dict[str, str], str]:
    """Converts 2 in 10 users of one model and 9 in 10 of the other; returns each user's model, and the verdict."""
    first, told = {}, []
    for user in range(USERS):
        answer = await ask(http, str(user))
        first[str(user)] = arm = answer.json()["mode"]
        value = user % 10 < (2 if arm == SVC else 9)
        told.append({"prediction_id": answer.headers["x-mlp-prediction-id"], "name": "converted", "value": value})
    await http.post("/feedback", json=told)
    verdict = (await http.get("/experiment")).json()["verdict"]
    better = [arm for arm, one in verdict["metrics"][0]["arms"].items() if one["conclusion"] == "better"]
    return first, f"{verdict['state']}: {', '.join(better) or 'nothing'}"


def about(part: float, found: int, wrong: int = 0) -> tuple[str, str, bool]:
    """The bound, the finding, and whether `found` is within chance of the share `part` and `wrong` is 0."""
    most = CHANCE * (USERS * part * (1 - part)) ** 0.5
    near = abs(found - USERS * part) <= most
    return f"{USERS * part:.0f} ± {most:.0f}, 0 wrong", f"{found}, {wrong} wrong", bool(near and not wrong)


async def arms(http: httpx.AsyncClient) -> dict[str, str]:
    return {user: (await ask(http, user)).json()["mode"] for user in map(str, range(USERS))}


async def ask(http: httpx.AsyncClient, user: str = "", path: str = "/predict") -> httpx.Response:
    return (await http.post(path, json={"data": [[5.1, 3.5, 1.4, 0.2]]}, headers={"user-id": user})).raise_for_status()
