"""What the composition promises: users keep their arm, one arm has a cache, and jobs are done."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import production
import pytest
from conftest import base64, png
from train import main as train

from mlpatterns.testing import client, until

USERS = [f"user-{number}" for number in range(40)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(tmp_path))
    for seed, name in enumerate(("model", "challenger", "next")):
        if not (production.FOLDER / f"{name}.onnx").exists():
            train(production.FOLDER / f"{name}.onnx", seed)


def work(asks: Any) -> Any:
    async def main() -> Any:
        async with client(production.app) as http:
            await until(lambda: ready(http))
            return await asks(http)

    return asyncio.run(main())


async def ready(http: Any) -> bool:
    return (await http.get("/health/ready")).status_code == 200


async def ask(http: Any, image: str, user: str = "ann") -> Any:
    return await http.post("/models/digits/predict/label", json={"data": image}, headers={"user-id": user})


def test_a_user_keeps_an_arm_and_both_arms_are_right(digits):
    digit, image = digits[3]

    async def asks(http: Any) -> None:
        arms = {}
        for user in USERS * 2:
            answer = await ask(http, base64(png(image)), user)
            assert (answer.status_code, answer.json()) == (200, {"prediction": digit})
            arm = answer.headers["x-mlp-arm"]
            assert arms.setdefault(user, arm) == arm
        assert set(arms.values()) == {"champion", "challenger"}

    work(asks)


def test_the_champion_answers_from_the_cache_what_came_before(digits):
    async def asks(http: Any) -> None:
        states = set()
        for user in USERS:
            answer = await ask(http, base64(png(digits[5][1])), user)
            states.add((answer.headers["x-mlp-arm"], answer.headers.get("x-mlp-cache")))
        assert ("champion", "hit") in states
        assert ("challenger", None) in states

    work(asks)


def test_a_job_is_accepted_and_done(digits):
    digit, image = digits[7]

    async def asks(http: Any) -> None:
        accepted = await http.post("/models/digits_later/predict", json={"data": base64(png(image))})
        assert accepted.status_code == 202
        job = accepted.json()["job_id"]
        answer = await http.get(accepted.headers["location"], params={"wait": 10})
        assert answer.json()[job] == {"prediction": digit, "status": "done"}

    work(asks)
