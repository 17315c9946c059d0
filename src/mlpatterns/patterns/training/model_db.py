"""Model DB

Need: Know which model was trained from what, and where it is
Group: training
Book: chapter2_training/model_db
Mercari: Data model versioning
Japanese: モデル管理データベース
When: more than one person or program trains or serves, and each must find the same model by name, version or alias
When not: one file beside the server is all there is; put its name into the command that serves it

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

NAME = "model_db"
TARGET = NAME
TOKEN, DATA = "demo", "0123456789abcdef" * 4
FILES = {"sha256": "a" * 64, "manifest_sha256": "b" * 64, "artifact_url": "shapes/one"}
REGISTRATIONS, MOVERS = 100, 10

app = ModelDB()


def demo(home: Path) -> Evidence:
    """Asks a process of its own, kills it in the middle of its work, and asks the next one."""
    return Evidence(NAME, tuple(asyncio.run(proven(home))))


async def proven(home: Path) -> list[Row]:
    environ = {"MLPATTERNS_HOME": str(home), "MLPATTERNS_ADMIN_TOKEN": TOKEN}
    async with process(TARGET, environ=environ) as server:
        claims = (merged, numbered, moved, traced, refused)
        rows = [await asyncio.to_thread(ask, server, claim) for claim in claims]
        answered = await asyncio.to_thread(killed, server)
    async with process(TARGET, environ=environ) as server:
        return [*rows, await asyncio.to_thread(ask, server, lambda service: kept(service, answered))]


def ask(server: ServerProcess, claim: Callable[[RegistryClient], Any]) -> Any:
    with RegistryClient(server.url, admin_token=TOKEN) as service:
        return claim(service)


def at_once(times: int, work: Callable[[RegistryClient], Any], url: str) -> list[Any]:
    """What each of many clients got; an error of the service is an answer too."""

    def one(_: int) -> Any:
        try:
            with RegistryClient(url) as service:
                return work(service)
        except PredictionError as error:
            return error

    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(one, range(times)))


def merged(service: RegistryClient) -> Row:
    project = service.add_project("demo")
    model = service.add_model(project.project_id, "shapes")
    made = service.add_experiment(model.model_id, "0", training_dataset=f"105 rows sha256:{DATA}")
    service.add_evaluations(made.experiment_id, {"f1": 0.9})
    found = service.add_evaluations(made.experiment_id, {"recall": 0.8}).evaluations
    holds = found == {"f1": 0.9, "recall": 0.8} and service.add_project("demo") == project
    return Row("a project is made once, and evaluations add up", "f1, recall", ", ".join(found or {}), holds)


def numbered(service: RegistryClient) -> Row:
    made = at_once(REGISTRATIONS, lambda each: each.add_version("shapes", **FILES).number, service.url)
    right = len({number for number in made if isinstance(number, int)} & set(range(1, REGISTRATIONS + 1)))
    return Row(f"{REGISTRATIONS} registrations at once", f"{REGISTRATIONS} versions without gap or twin",
               f"{right}", right == len(made) == REGISTRATIONS)  # fmt: skip


def moved(service: RegistryClient) -> Row:
    service.move_alias("shapes", "champion", 1)
    tried = at_once(MOVERS, lambda each: each.move_alias("shapes", "champion", 2, expected=1), service.url)
    won, lost = (
        sum(not isinstance(each, Exception) for each in tried),
        sum(isinstance(each, Conflict) for each in tried),
    )
    return Row(f"{MOVERS} move an alias that they saw at version 1", f"1 moves it, {MOVERS - 1} are told",
               f"{won} moves it, {lost} are told", (won, lost) == (1, MOVERS - 1))  # fmt: skip


def traced(service: RegistryClient) -> Row:
    (experiment,) = service.experiments(service.model("shapes").model_id)
    made = service.add_version("shapes", **FILES, experiment_id=experiment.experiment_id)
    service.add_deployment("shapes", made.number, "shop")
    found = [(each.version.number, where.deployment_name) for each in service.made_of(DATA) if each.version
             for where in each.deployments]  # fmt: skip
    return Row("from the data's digest to where its model serves", f"version {made.number} at shop",
               " ".join(f"version {number} at {where}" for number, where in found) or "nothing",
               found == [(made.number, "shop")])  # fmt: skip


def refused(service: RegistryClient) -> Row:
    (last,) = [each for each in service.versions("shapes") if each.experiment_id]
    tried = at_once(1, lambda _: service.delete_version("shapes", last.number), service.url)
    if isinstance(tried[0], Conflict):
        service.end_deployment(service.deployments("shapes", last.number)[0].deployment_id)
        service.delete_version("shapes", last.number)
    said, after = "refused" if isinstance(tried[0], Conflict) else "deleted", service.add_version("shapes", **FILES)
    wanted, found = f"refused, then {last.number + 1}", f"{said}, then {after.number}"
    return Row("what serves is not deleted; no number is given twice", wanted, found, found == wanted)


def killed(server: ServerProcess) -> list[int]:
    """Kills the process in the middle of many registrations; the numbers that it had answered."""
    answered: list[int] = []

    def register(service: RegistryClient) -> None:
        answered.append(service.add_version("shapes", **FILES).number)
        if len(answered) == REGISTRATIONS // 10:
            os.kill(server.pid, signal.SIGKILL)

    at_once(REGISTRATIONS, register, server.url)
    return answered


def kept(service: RegistryClient, answered: list[int]) -> Row:
    there = [each.number for each in service.versions("shapes")]
    lost = len(set(answered) - set(there))
    holds = lost == 0 and bool(answered) and service.add_version("shapes", **FILES).number > max(there)
    return Row("killed amid registrations: what was answered is there", f"{len(answered)} of {len(answered)}",
               f"{len(answered) - lost} of {len(answered)}", holds)  # fmt: skip
