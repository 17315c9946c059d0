"""Where a model's files are: what is on this machine needs neither registry nor S3, and what hangs is said so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanging import endless_files, hanging
from mlpatterns import HotSwap, OnnxModel, RegistryDown
from mlpatterns.registry.database import DatabaseConnection
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.stores import objects_s3
from mlpatterns.testing import free_port, request
from mlpatterns.user_errors import ModelFileError
from releases import NAME, Releases
from services import database

X = np.array([[3.0]], np.float32)


@pytest.fixture
def releases(tmp_path: Path, s3_bucket: str) -> Iterator[Releases]:
    with database("postgresql", tmp_path) as url:
        made = Releases(tmp_path / "of the trainer", url, artifacts=s3_bucket)
        made.publish(10.0)
        yield made


@pytest.fixture
def settings(releases: Releases, tmp_path: Path) -> Settings:
    """Those of a machine that has nothing yet."""
    shared = releases.settings
    return Settings(home=tmp_path / "home", registry=shared.registry, artifacts=shared.artifacts)


async def answer(reference: str, settings: Settings) -> float:
    model = OnnxModel(reference)
    async with running(model, settings=settings):
        return float((await model.predict(request({"x": X}))).outputs["y"][0, 0])


def down(*_: Any) -> Any:
    raise RegistryDown("the registry was asked")


@pytest.mark.parametrize("before", [NAME, f"{NAME}:1"])
def test_a_number_that_was_served_here_is_served_without_asking_registry_or_s3(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    async def main() -> None:
        assert await answer(before, settings) == 30.0
        monkeypatch.setattr(DatabaseConnection, "find", down)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        assert await answer(f"{NAME}:1", settings) == 30.0
        for other in (NAME, f"{NAME}:2"):
            with pytest.raises(RegistryDown, match="was asked"):
                await answer(other, settings)

    asyncio.run(main())


def test_another_registry_is_asked_what_its_number_means(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        await answer(f"{NAME}:1", settings)
        monkeypatch.setattr(DatabaseConnection, "find", down)
        other = Settings(home=settings.home, registry="postgresql://other/models", artifacts=settings.artifacts)
        with pytest.raises(RegistryDown, match="was asked"):
            await answer(f"{NAME}:1", other)

    asyncio.run(main())


@pytest.mark.parametrize("damage", ["files", "answer"])
def test_what_was_removed_or_damaged_is_asked_for_and_fetched_again(settings: Settings, damage: str) -> None:
    async def main() -> None:
        await answer(f"{NAME}:1", settings)
        cache = settings.home / "cache"
        if damage == "files":
            (cache / "artifacts").rename(settings.home / "gone")
        else:
            (said,) = (cache / "answers").rglob("1.json")
            said.write_bytes(b"{")
        assert await answer(f"{NAME}:1", settings) == 30.0

    asyncio.run(main())


def test_a_kept_model_that_was_changed_is_never_served(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        await answer(f"{NAME}:1", settings)
        (model,) = (settings.home / "cache" / "artifacts").rglob("model.onnx")
        model.write_bytes(b"another")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        with pytest.raises((RegistryDown, ModelFileError)):
            await answer(f"{NAME}:1", settings)

    asyncio.run(main())


def test_a_start_that_is_cancelled_does_not_wait_for_the_fetch_and_ends_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        began = endless_files(monkeypatch)
        starting = asyncio.create_task(answer(f"{NAME}:1", settings))
        await until(began.is_set)
        starting.cancel()
        await asyncio.wait([starting], timeout=10)
        assert starting.cancelled()
        await until(lambda: not any((settings.home / "cache" / "artifacts").iterdir()))

    asyncio.run(main())


# ---- what hangs ----------------------------------------------------------------------------------------------------


@pytest.mark.slow  # the patience with a registry that never answers
@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "http"])
def test_a_registry_that_hangs_at_start_is_trouble_within_seconds(tmp_path: Path, scheme: str) -> None:
    async def main() -> None:
        with hanging() as port:
            swap = HotSwap(NAME)
            settings = Settings(home=tmp_path, registry=f"{scheme}://127.0.0.1:{port}/models")
            async with running(swap, settings=settings):
                await until(lambda: "the registry does not answer" in swap.health().reason)

    asyncio.run(asyncio.wait_for(main(), 20))


@pytest.mark.slow  # some retries of a silent S3
def test_an_s3_that_hangs_is_trouble_within_seconds_and_the_version_that_serves_goes_on(
    releases: Releases, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects_s3, "SILENCE", timedelta(seconds=0.4))

    async def main() -> None:
        swap = HotSwap(NAME)
        with hanging() as port:
            async with running(swap, settings=settings):
                releases.publish(20.0, promote=False)
                monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
                releases.point(2)
                await until(lambda: "where the files of models are does not answer" in swap.health().reason)
                assert (await swap.predict(request({"x": X}))).model_version == "1"

    asyncio.run(asyncio.wait_for(main(), 20))


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)
