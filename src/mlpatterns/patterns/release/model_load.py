"""Model load

Need: Ship the server once and load the model when the server starts
Group: release
Book: chapter3_release_patterns/model_load_pattern
Mercari: Model load
Japanese: モデルロードパターン
When: models change more often than the server, or one image serves many models; you release a model by moving an alias
When not: server and model must be released and rolled back as one unit; then put the model into the image

Diagram:
    registry: champion ─▶ version 3             client ─▶ version 3 answers
          ▼ follows                               │ flip
    fetch ─▶ verify ─▶ load ─▶ golden set ────────┘       version 2 drains, and stops

Commands:
    mlpatterns train iris_sklearn_svc
    mlpatterns fetch iris_sklearn_svc:1 --into models
    MLPATTERNS_ADMIN_TOKEN=secret mlpatterns run model_load --workers 2
    mlpatterns train iris_sklearn_svc --seed 1
    mlpatterns registry alias iris_sklearn_svc:2 champion
    MLPATTERNS_ADMIN_TOKEN=secret mlpatterns swap http://127.0.0.1:8000 --rollback
    mlpatterns demo model_load
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from mlpatterns import Evidence, HotSwap, Predictor, RegistryClient, Row, chosen_model, serve, train
from mlpatterns.testing import ServerProcess, process

NAME = TARGET = "model_load"
MODEL, TOKEN, ASKERS, MANY = "iris_sklearn_svc", "demo", 4, 100
SOON, PATIENCE = 5.0, 20.0  # seconds; 1 is enough on an idle machine
OWN = {"MLPATTERNS_REGISTRY": "", "MLPATTERNS_ARTIFACTS": "", "MLPATTERNS_ADMIN_TOKEN": TOKEN}  # not your registry
FLOWER = {"data": [[6.0, 2.9, 4.5, 1.5]]}
Seen = list[tuple[float, int, str, str]]  # of each answer: its time, status, version and text


def build() -> Predictor:
    """Serves the version that the alias names; the setting `model` chooses the model and the alias."""
    return HotSwap(chosen_model(MODEL).reference)


app = serve(build)


async def demo(client: Any) -> Evidence:
    """Under load promotes the challenger, then a damaged version; then rolls back to the first version."""
    with TemporaryDirectory() as folder:
        for seed in range(3):
            await asyncio.to_thread(train, MODEL, home=Path(folder), options={"seed": seed})
        own = {**OWN, "MLPATTERNS_HOME": folder}
        async with process("model_db", environ=own) as there, process(TARGET, "--workers", "2", environ=own) as it:
            with RegistryClient(there.url, admin_token=TOKEN) as registry:
                return Evidence(NAME, await released(registry, it, Path(folder)))


async def released(registry: RegistryClient, it: ServerProcess, home: Path) -> tuple[Row, ...]:
    seen: Seen = []
    async with asyncio.TaskGroup() as load:
        asking = [load.create_task(ask_on(it, seen)) for _ in range(ASKERS)]
        challenger = registry.move_alias(MODEL, "challenger", 2)
        moved = await everybody(seen, "1")
        registry.move_alias(MODEL, "champion", challenger.number)
        await everybody(seen, "2")
        damaged = await refused(registry, it, home)
        called = monotonic()
        back = await it.http.post("/swap/rollback", headers={"x-admin-token": TOKEN})
        await everybody(seen, "1")
        for each in asking:
            each.cancel()
    failed = sum(status != 200 for _, status, _, _ in seen)
    one, two = ({text for _, _, version, text in seen if version == which} for which in "12")
    late = max((when - moved for when, _, version, _ in seen if version == "1" and when < called), default=-1.0)
    last = max((when - called for when, _, version, _ in seen if version == "2"), default=-1.0)
    return (
        Row("the challenger is promoted under load, and no request fails", f"0 of {MANY} or more",
            f"{failed} of {len(seen)}", failed == 0 and len(seen) >= MANY),
        Row("each answer is that of the version it names", "1 and 1, different", f"{len(one)} and {len(two)}",
            len(one) == len(two) == 1 and one != two),
        Row("both workers serve it soon", f"<= {SOON:g} s", f"{late:.1f} s", 0 < late <= SOON),
        damaged,
        Row("one call rolls back both workers", f"<= {SOON:g} s", f"{last:.1f} s", back.is_success and last <= SOON),
    )  # fmt: skip


async def refused(registry: RegistryClient, it: ServerProcess, home: Path) -> Row:
    """Damages the model file of version 3, and makes that version the champion nevertheless."""
    folder = home / "artifacts" / registry.version(MODEL, 3).artifact_url
    (folder / "model.onnx").write_bytes(b"what a broken disk gives back")
    registry.move_alias(MODEL, "champion", 3, force=True)
    said, until = "nothing", monotonic() + PATIENCE
    while "version 3 is refused" not in said and monotonic() < until:
        await asyncio.sleep(0.05)
        said = (await it.http.get("/health/ready")).json().get("trouble", {}).get(MODEL, "nothing")
    version = (await it.http.post("/predict", json=FLOWER)).headers["x-mlp-version"]
    return Row("a damaged version is refused, health says so, and the one before serves", "version 2",
               f"version {version}, {said[:20]}", version == "2" and "SHA-256" in said)  # fmt: skip


async def ask_on(it: ServerProcess, seen: Seen) -> None:
    """Sends requests until it is cancelled, each over a new connection, so that both workers get some."""
    while True:
        answer = await it.http.post("/predict", json=FLOWER, headers={"connection": "close"})
        seen.append((monotonic(), answer.status_code, answer.headers.get("x-mlp-version", ""), answer.text))


async def everybody(seen: Seen, version: str) -> float:
    """Waits until MANY answers in a row come from `version`, but no longer than PATIENCE; returns the time then."""
    begin, until, last = len(seen), monotonic() + PATIENCE, [""]
    while last != [version] * MANY and monotonic() < until:
        await asyncio.sleep(0.05)
        last = [named for _, _, named, _ in seen[begin:][-MANY:]]
    return monotonic()
