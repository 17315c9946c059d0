"""A HotSwap whose control store does not answer: what was read last counts, and the alias is followed without it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mlpatterns import HotSwap, Unavailable
from mlpatterns.models.swap.hot_swap import SwapTo
from mlpatterns.predictor import Health
from mlpatterns.stores.control_sqlite import SqliteControl
from mlpatterns.testing import client
from releases import NAME, Releases
from swapping import Bench, bench, run


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    made = Releases(tmp_path)
    made.publish(10.0)
    return made


async def down(*_: Any, **__: Any) -> Any:
    raise Unavailable("the control store does not answer")


def take_down(patch: pytest.MonkeyPatch) -> None:
    for call in ("get_many", "put", "history"):
        patch.setattr(SqliteControl, call, down)


def wrong(it: Bench) -> list[str]:
    """What the server says of itself beside its models."""
    return it.runtime.trouble()


def test_the_alias_is_followed_without_the_control_store_which_health_says(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            with monkeypatch.context() as patch:
                take_down(patch)
                for number, answer in ((2, ("2", 60.0)), (3, ("3", 90.0)), (1, ("1", 30.0))):
                    if number > 1:
                        releases.publish(10.0 * number)
                    else:
                        releases.point(1)
                    await it.looked(2)
                    assert await it.answer() == answer
                assert wrong(it) == ["the control store does not answer"]
                assert it.swap.health() == Health()
                with pytest.raises(Unavailable):
                    await it.command("swap", SwapTo(2))
            await it.looked(5)
            assert wrong(it) == []
            assert await it.answer() == ("1", 30.0)
            assert (await it.command("swap", SwapTo(3))).previous == 1

    run(main)


def test_a_registry_whose_file_was_emptied_is_an_outage_and_no_empty_registry(
    releases: Releases, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            (tmp_path / "registry.db").write_bytes(b"")
            await it.looked(2)
            assert await it.answer() == ("1", 30.0)
            assert it.swap.health().ready
            assert it.swap.health().reason.startswith("the registry does not answer; ")

    run(main)
    assert "is a file without a registry's tables; restore it from a backup" in caplog.text


def test_a_pin_holds_without_the_control_store(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            await it.command("swap", SwapTo(1))
            with monkeypatch.context() as patch:
                take_down(patch)
                releases.publish(20.0)
                await it.looked(4)
                assert await it.answer() == ("1", 30.0)
                assert (await it.state()).pinned == 1
            assert (await it.command("swap/follow")).version == 2

    run(main)


def test_what_the_alias_names_meanwhile_is_held_against_what_serves(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            with monkeypatch.context() as patch:
                take_down(patch)
                releases.publish(20.0, labels=("a",))
                await it.looked(2)
                assert await it.answer() == ("1", 30.0)
                assert "its labels differ from those of version 1" in it.swap.health().reason

    run(main)


def test_what_could_not_be_noted_is_noted_when_the_control_store_is_back(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            with monkeypatch.context() as patch:
                take_down(patch)
                releases.publish(20.0)
                await it.looked(2)
            while it.swap._following().shared.document.value.served != (1, 2):
                await it.looked()
            assert await it.answer() == ("2", 60.0)
            changes = len(await it.runtime.control.history(f"{NAME}/swap"))
            await it.looked(8)
            assert len(await it.runtime.control.history(f"{NAME}/swap")) == changes

    run(main)


def test_who_starts_without_the_control_store_serves_nothing_before_it_knows_of_pins(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            await it.command("swap", SwapTo(1))
        releases.publish(20.0)
        with monkeypatch.context() as patch:
            take_down(patch)
            async with client(HotSwap(NAME, check_every=0.01), settings=releases.settings) as http:
                answer = await http.get("/health/ready")
                assert (answer.status_code, "the control store" in answer.json()["error"]) == (503, True)
                assert (await http.post("/predict", json={"data": [[3.0]]})).status_code == 503
                patch.undo()
                while (await http.get("/health/ready")).json() != {"ready": True}:
                    await asyncio.sleep(0.01)
                answer = await http.post("/predict", json={"data": [[3.0]]})
                assert answer.headers["x-mlp-version"] == "1"

    run(main)
