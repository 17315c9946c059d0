"""Model DB

Need: Know what each model was trained from, and where it is
Group: training
Book: chapter2_training/model_db
Mercari: Data model versioning
Japanese: モデル管理データベース
When: several people or programs train or serve models, and all must find the same model by name, version or alias
When not: you have a single model file beside the server; name that file in the command that serves it

Diagram:
    trainers ──▶ projects ─▶ models ─▶ experiments ─▶ versions ◀── aliases ◀── servers
                                       data's digest           └─▶ deployments
    one database: SQLite, PostgreSQL or MariaDB, by its URL

Commands:
    mlpatterns run model_db
    MLPATTERNS_REGISTRY=postgresql://ann@db/models mlpatterns run model_db
    mlpatterns demo model_db
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mlpatterns import Conflict, Evidence, ModelDB, PredictionError, RegistryClient, Row
from mlpatterns.testing import ServerProcess, process

NAME = TARGET = "model_db"
TOKEN, DATA, MANY, MOVERS = "demo", "0123456789abcdef" * 4, 100, 10
FILES = {"sha256": "a" * 64, "manifest_sha256": "b" * 64, "artifact_url": "s3://elsewhere/shapes/one"}
app = ModelDB()


def demo(home: Path) -> Evidence:
    """Starts a server process and tests it, kills it during registrations, and checks the data with a new process."""
    return Evidence(NAME, tuple(asyncio.run(proven(home))))


async def proven(home: Path) -> list[Row]:
    environ = {"MLPATTERNS_HOME": str(home), "MLPATTERNS_ADMIN_TOKEN": TOKEN}
    async with process(TARGET, environ=environ) as server:
        rows = await asyncio.to_thread(claims, server.url)
        answered = await asyncio.to_thread(killed, server)
    async with process(TARGET, environ=environ) as server:
        with RegistryClient(server.url) as service:
            there = len({each.number for each in service.versions("shapes")} & set(answered))
    claim, holds = "killed amid registrations: all that it answered is there", there == len(answered) >= MANY // 10
    return [*rows, Row(claim, f"{len(answered)}", f"{there}", holds)]


def claims(url: str) -> list[Row]:
    with RegistryClient(url, admin_token=TOKEN) as service:
        service.add_model(service.add_project("demo").project_id, "shapes")
        return [numbered(url), moved(service), traced(service), refused(service)]


def at_once(times: int, work: Callable[[RegistryClient], Any], url: str) -> list[Any]:
    def one(_: int) -> Any:
        try:
            with RegistryClient(url, admin_token=TOKEN) as service:
                return work(service)
        except PredictionError as error:
            return error

    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(one, range(times)))


def register(service: RegistryClient) -> int:
    return service.add_version("shapes", **FILES).number


def numbered(url: str) -> Row:
    made, wanted = {*map(str, at_once(MANY, register, url))}, {str(number + 1) for number in range(MANY)}
    return Row(f"{MANY} register at once: no gap, no twin", f"1 to {MANY}", f"{len(made)} numbers", made == wanted)


def moved(service: RegistryClient) -> Row:
    service.move_alias("shapes", "champion", 1)
    tried = at_once(MOVERS, lambda each: each.move_alias("shapes", "champion", 2, expected=1), service.url)
    told = sum(isinstance(each, Conflict) for each in tried)
    claim = f"of {MOVERS} who move an alias from where they saw it, one does"
    return Row(claim, f"{MOVERS - 1} are told", f"{told} are told", told == MOVERS - 1)


def traced(service: RegistryClient) -> Row:
    run = service.add_experiment(service.model("shapes").model_id, "first", training_dataset=f"sha256:{DATA}")
    made = service.add_version("shapes", **FILES, experiment_id=run.experiment_id)
    service.add_deployment("shapes", made.number, "shop")
    lines = [f"{each.version.number} at {where.deployment_name}" for each in service.made_of(DATA) if each.version
             for where in each.deployments]  # fmt: skip
    wanted, found = f"{made.number} at shop", ", ".join(lines)
    return Row("from the data's digest to the version, to where it serves", wanted, found, found == wanted)


def refused(service: RegistryClient) -> Row:
    last = service.model("shapes").last_number
    (tried,) = at_once(1, lambda _: service.delete_version("shapes", last), service.url)
    return Row("a version that serves is not deleted", "a conflict", str(tried), isinstance(tried, Conflict))


def killed(server: ServerProcess) -> list[int]:
    """The version numbers that the server returned before it was killed during many registrations."""
    answered: list[int] = []
    turns = iter(range(1, MANY + 1))

    def one(service: RegistryClient) -> None:
        answered.append(register(service))
        if next(turns) == MANY // 10:
            os.kill(server.pid, signal.SIGKILL)

    at_once(MANY, one, server.url)
    return answered
