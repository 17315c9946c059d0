r"""Online A/B

Need: Compare two models on real users
Group: management
Book: chapter6_operation_management/online_ab_pattern
Mercari: Online AB test
Japanese: オンラインA/Bテストパターン
When: two models are good enough to be shown to users, and what users do tells which one is better
When not: a bad answer would do harm, or nothing is learned of an answer afterwards; then send both to a shadow

Diagram:
    client ── user-id ──▶ hash ─▶ 10,000 buckets ─┬─ 60 % ─▶ iris_sklearn_svc
                                                  └─ 40 % ─▶ iris_sklearn_rf
    weights change at run time; who was moved comes back with an undo

Commands:
    mlpatterns train iris_sklearn_svc iris_sklearn_rf
    mlpatterns run online_ab
    mlpatterns predict http://127.0.0.1:8000 '[[5.1, 3.5, 1.4, 0.2]]'
    curl localhost:8000/weights
    curl localhost:8000/weights -H "x-admin-token: $ADMIN_TOKEN" \
      -d '{"weights": {"iris_sklearn_svc": 50, "iris_sklearn_rf": 50}}'
    mlpatterns demo online_ab
"""

from __future__ import annotations

from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlpatterns import Answers, Context, Evidence, InferenceResponse, OnnxModel, Row, Split, load_settings, serve
from mlpatterns.testing import client

if TYPE_CHECKING:
    import httpx

SVC, RF = "iris_sklearn_svc", "iris_sklearn_rf"
ROW = [5.1, 3.5, 1.4, 0.2]
USERS, NOBODY, CHANCE = 1000, 200, 4.5  # standard deviations: once in 150,000


def build() -> Split:
    """60 of 100 users meet the one model, 40 the other; which one, their `user-id` decides."""
    arms = {name: OnnxModel(name) for name in (SVC, RF)}
    return Split(arms, weights={SVC: 60, RF: 40}, sticky_by="user-id", name="online_ab")


def mode(response: InferenceResponse, context: Context) -> Mapping[str, Any]:
    """`mode` is the model that answered."""
    return {"mode": response.described.name if response.described else response.model_name}


app = serve(build, answers=Answers(also=mode))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Asks as a thousand users, as nobody, and before and after a change of the weights."""
    return Evidence("online_ab", (*await answered(client), *await moved()))


async def answered(http: httpx.AsyncClient) -> tuple[Row, Row]:
    """By which model, and with what."""
    own = {}
    for name in (SVC, RF):
        async with client(OnnxModel(name)) as model:
            own[name] = (await ask(model))["prediction"]
    drawn = [await ask(http) for _ in range(NOBODY)]
    right = sum(answer["prediction"] == own[answer["mode"]] for answer in drawn)
    seen = len({answer["mode"] for answer in drawn})
    return (
        Row("`mode` is the model that answered", f"{NOBODY} equal to its own answer", f"{right} equal",
            right == NOBODY and own[SVC] != own[RF]),
        Row("a request of nobody is drawn anew each time", "both models", f"{seen} of 2", seen == 2),
    )  # fmt: skip


async def moved() -> tuple[Row, ...]:
    """In two replicas that share the weights, 60 to 40, then 50 to 50, and back."""
    with TemporaryDirectory() as folder:
        settings = load_settings({"control": f"sqlite:///{folder}/control.db", "admin_token": "demo"}).settings
        served = [serve(build, answers=Answers(also=mode), settings=settings) for _ in range(2)]
        async with client(served[0]) as one, client(served[1]) as other:
            first = await arms(one)
            kept = sum([first == await arms(replica) for replica in (one, other)])
            await command(one, "weights", {"weights": {SVC: 50, RF: 50}})
            second = await arms(one)
            await command(one, "weights/undo", {})
            third = await arms(one)
    change = [second[user] for user in first if first[user] != second[user]]
    differ, wrong = sum(first[user] != third[user] for user in first), change.count(SVC)
    count = [*first.values()].count(SVC)
    return (
        Row("a user keeps the model, in every replica", "2 of 2", f"{kept} of 2", kept == 2),
        Row("60 of 100 users meet the one model", f"{share(0.6)} of {USERS}", str(count), near(count, 0.6)),
        Row("new weights move what the arm that grows takes, and nobody the other way", f"{share(0.1)}, 0",
            f"{len(change)}, {wrong}", near(len(change), 0.1) and wrong == 0),
        Row("an undo brings back all who were moved", "0 differ", f"{differ} differ", differ == 0 and bool(change)),
    )  # fmt: skip


def share(part: float) -> str:
    """Of the users, with what chance may add or take away."""
    return f"{USERS * part:.0f} ± {CHANCE * (USERS * part * (1 - part)) ** 0.5:.0f}"


def near(found: int, part: float) -> bool:
    return bool(abs(found - USERS * part) <= CHANCE * (USERS * part * (1 - part)) ** 0.5)


async def arms(http: httpx.AsyncClient) -> dict[str, str]:
    return {user: (await ask(http, {"user-id": user}))["mode"] for user in map(str, range(USERS))}


async def ask(http: httpx.AsyncClient, headers: Mapping[str, str] = {}) -> Any:
    return (await http.post("/predict", json={"data": [ROW]}, headers=dict(headers))).raise_for_status().json()


async def command(http: httpx.AsyncClient, name: str, told: Any) -> None:
    (await http.post(f"/{name}", json=told, headers={"x-admin-token": "demo"})).raise_for_status()
