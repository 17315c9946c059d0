"""Parameter based

Need: Use parameters to change how a server answers, without a release
Group: management
Book: chapter6_operation_management/paramater_based_pattern
Mercari: Parameter based serving
Japanese: パラメータベース推論パターン
When: operators must change thresholds, or choose which models take part, faster than a release allows
When not: the parameter belongs to one request; then make it an input of the request

Diagram:
                               ┌─▶ setosa ─────── >= 0.90 ?
    client ─▶ ask the active ──┼─▶ versicolor ─── >= 0.85 ?
              ▲                └─▶ virginica ──── >= 0.95 ?  (not active)
    operator ─┘ thresholds, active, stopped, timeout, retries: in all workers within a second

Commands:
    mlpatterns train iris_binary_setosa iris_binary_versicolor iris_binary_virginica
    MLPATTERNS_THRESHOLD_SETOSA=0.8 MLPATTERNS_ADMIN_TOKEN=secret mlpatterns run parameter_based
    mlpatterns predict http://127.0.0.1:8000 '[5.1, 3.5, 1.4, 0.2]'
    curl -H 'authorization: Bearer secret' -d '{"active": {"virginica": true}}' http://127.0.0.1:8000/parameters
    mlpatterns demo parameter_based
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlpatterns import Answers, Evidence, InferenceResponse, OnnxModel, Predictor, Row, Service, Thresholds, serve
from mlpatterns.testing import process

if TYPE_CHECKING:
    import httpx

NAME, PARTS = "parameter_based", ("setosa", "versicolor", "virginica")
SETOSA, NONE = [5.1, 3.5, 1.4, 0.2], [50.0, 30.1, 111.4, 110.2]  # the book's examples
TOKEN = "the-demos-own"  # noqa: S105 - only for servers that the demo starts


def build() -> Predictor:
    """Three binary models, each for one species against the others, with the book's parameters."""
    parts = {part: Service(part, OnnxModel(f"iris_binary_{part}")) for part in PARTS}
    thresholds = {"setosa": 0.90, "versicolor": 0.85, "virginica": 0.95}
    return Thresholds(parts, thresholds=thresholds, active={"virginica": False}, timeout=10, retries=1, name=NAME)


def by_part(response: InferenceResponse, _: Any) -> Any:
    """For each active part, 1 if its probability reaches its threshold, else 0; for several rows, a list."""
    columns = zip(PARTS, response.outputs["decisions"].T.tolist(), strict=True)
    return {part: column[0] if len(column) == 1 else column for part, column in columns if -1 not in column}


def about(*_: Any) -> Any:
    """The metadata of the inputs and of each part's prediction."""
    sample = {"service_setosa": [0.97, 0.03], "service_versicolor": [0.03, 0.97], "service_virginica": [0.03, 0.97]}
    return {"data_type": "float32", "data_structure": "(1,4)", "data_sample": [SETOSA],
            "prediction_type": "float32", "prediction_structure": "(1,2)", "prediction_sample": sample}  # fmt: skip


ALIASES = {"/predict/get/test": "/predict/test", "/predict/post/test": "/predict/test"}  # the book's names
app = serve(build, answers=Answers(predict=by_part, metadata=about, aliases=ALIASES))


async def demo(client: httpx.AsyncClient) -> Evidence:
    """Gets the book's two answers, then tests commands and restarts on servers that the demo starts."""
    both = [await ask(client, SETOSA), await ask(client, NONE)]
    expected = [{"setosa": 1, "versicolor": 0}, {"setosa": 0, "versicolor": 0}]
    with TemporaryDirectory() as folder:
        control = {"MLPATTERNS_CONTROL": f"sqlite:///{folder}/control.db"}
        return Evidence(NAME, (equal("the book's two answers", expected, both), *await changed(control)))


async def changed(control: Mapping[str, str]) -> tuple[Row, ...]:
    async with running(control) as http:
        await set_parameters(http, {"active": {"virginica": True}, "thresholds": {"setosa": 0.999}})
        all_three = await ask(http, SETOSA)
        refused = (
            await set_parameters(http, {"thresholds": {"rose": 0.5}}),
            await set_parameters(http, {"thresholds": {"setosa": 1.5}}),
        )
        anyone = (await http.post("/parameters", json={"stopped": True})).status_code
        await set_parameters(http, {"stopped": True})
        stopped = await ask(http, SETOSA)
        await set_parameters(http, {"stopped": False})
    other = {**control, "MLPATTERNS_THRESHOLD_SETOSA": "0.5"}
    async with running(other) as http:
        kept, said = await ask(http, SETOSA), (await http.get("/parameters")).json()["warnings"]
    async with running(other, "--reset-shared") as http:
        reset = await ask(http, SETOSA)
    none = dict.fromkeys(PARTS, 0)
    return (
        equal("a command changes thresholds and parts", none, all_three),
        equal("it stops all; a wrong one and anyone's are refused", (503, 400, 400, 401), (stopped, *refused, anyone)),
        equal("it outlives a restart, which says what starts otherwise", (none, 1), (kept, len(said))),
        equal("run --reset-shared goes back to the start values", {"setosa": 1, "versicolor": 0}, reset),
    )


@asynccontextmanager
async def running(environ: Mapping[str, str], *flags: str) -> AsyncIterator[httpx.AsyncClient]:
    async with process(NAME, *flags, environ={**os.environ, **environ, "MLPATTERNS_ADMIN_TOKEN": TOKEN}) as server:
        yield server.http


def equal(claim: str, expected: Any, found: Any) -> Row:
    return Row(claim, str(expected), str(found), expected == found)


async def ask(client: httpx.AsyncClient, row: list[float]) -> Any:
    answer = await client.post("/predict", json={"data": [row]})
    return answer.json() if answer.status_code == 200 else answer.status_code


async def set_parameters(client: httpx.AsyncClient, parameters: Mapping[str, Any]) -> int:
    headers = {"authorization": f"Bearer {TOKEN}"}
    return (await client.post("/parameters", json=parameters, headers=headers)).status_code
