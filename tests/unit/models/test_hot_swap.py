"""HotSwap: it follows its alias, no request sees the change, and what cannot serve changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlpatterns import (
    CompositionError,
    Conflict,
    HotSwap,
    Limit,
    NotFound,
    NotStarted,
    OnnxModel,
    Pipeline,
    PredictionCache,
    RegistryDown,
    Unavailable,
    UnknownName,
    UserError,
)
from mlpatterns.base import Wrapper
from mlpatterns.models.swap.hot_swap import SwapTo
from mlpatterns.models.swap.trouble import RefusedVersion
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Predictor
from mlpatterns.registry.database import DatabaseConnection
from mlpatterns.registry.golden import Golden
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import FakeClock, client, free_port, request
from releases import NAME, ROWS, Releases
from swapping import Bench, X, bench, run


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    made = Releases(tmp_path)
    made.publish(10.0)
    return made


def test_it_follows_the_alias_and_each_answer_names_the_version_that_made_it(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            assert await it.answer() == ("1", 30.0)
            identity = it.swap.identity()
            releases.publish(20.0)
            await it.looked()
            assert await it.answer() == ("2", 60.0)
            assert it.swap.metadata.version == "2"
            assert it.swap.identity() != identity
            releases.point(1)
            await it.looked()
            assert await it.answer() == ("1", 30.0)
            assert it.metric("mlpatterns_swaps_total", result="done") == 3
            assert [it.metric("mlpatterns_model_version", version=each) for each in "12"] == [1, 0]

    run(main)


def test_a_new_version_that_no_alias_names_changes_nothing(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            releases.publish(20.0, promote=False)
            await it.looked(2)
            assert await it.answer() == ("1", 30.0)

    run(main)


def test_a_request_inside_is_answered_by_the_version_it_came_to_which_is_stopped_after_it(releases: Releases) -> None:
    door = asyncio.Event()
    made: list[Gate] = []

    class Gate(Wrapper):
        stopped = False

        async def predict(self, asked: InferenceRequest) -> InferenceResponse:
            if self is made[0]:
                await door.wait()
            return await self.inner.predict(asked)

        async def stop(self) -> None:
            self.stopped = True

    def make(reference: Any) -> Predictor:
        made.append(Gate(OnnxModel(reference)))
        return made[-1]

    async def main() -> None:
        async with bench(releases, HotSwap(NAME, make)) as it:
            early = asyncio.create_task(it.answer())
            await asyncio.sleep(0)
            releases.publish(20.0)
            await it.looked()
            assert await it.answer() == ("2", 60.0)
            assert [gate.stopped for gate in made] == [False, False]
            door.set()
            assert await early == ("1", 30.0)
            await it.looked()
            assert [gate.stopped for gate in made] == [True, False]
            assert made[0].inner not in it.runtime._started
        assert [gate.stopped for gate in made] == [True, True]

    run(main)


BROKEN = Golden(1e-6, {"x": ROWS}, {"y": [[1.0], [1.0]]})


def corrupt(releases: Releases) -> None:
    (releases.publish(20.0).folder / "model.onnx").write_bytes(b"other bytes")


@pytest.mark.parametrize(
    ("release", "why"),
    [
        (corrupt, "model.onnx does not match its SHA-256"),
        (lambda r: r.publish(20.0, content=b"no graph"), "is not a model that ONNX Runtime can load"),
        (lambda r: r.publish(20.0, golden=BROKEN), "its output 'y' differs from its golden set"),
        (lambda r: r.publish(20.0, golden=Golden(1, {"z": []}, {})), "is not a golden set of this model"),
        (lambda r: r.publish(20.0, labels=("a",)), "its labels differ from those of version 1"),
        (lambda r: r.publish(float("nan"), golden="none"), "its output 'y' has NaN for its own sample"),
    ],
    ids=["corrupt artifact", "no model", "other answers", "broken golden set", "other labels", "answers of NaN"],
)
def test_a_version_that_cannot_serve_leaves_the_one_before_and_is_said(
    releases: Releases, release: Callable[[Releases], Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            release(releases)
            await it.looked(2)
            assert await it.answer() == ("1", 30.0)
            assert it.swap.health().reason.startswith("version 2 is refused: ")
            assert why in it.swap.health().reason
            assert (await it.state()).trouble == it.swap.health().reason
            assert it.metric("mlpatterns_swap_trouble") == 1
            assert it.metric("mlpatterns_swaps_total", result="refused") == 1
            assert [why in record.message for record in caplog.records].count(True) == 1
            releases.publish(30.0)
            await it.looked()
            assert await it.answer() == ("3", 90.0)
            assert it.swap.health().reason == ""
            assert it.metric("mlpatterns_swap_trouble") == 0

    run(main)


def test_a_refused_version_is_tried_again_after_a_while_that_grows(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            made = releases.publish(20.0)
            whole = (made.folder / "model.onnx").read_bytes()
            (made.folder / "model.onnx").write_bytes(b"half")
            await it.looked(8)  # 2.4 s: at once, and a second later
            assert it.metric("mlpatterns_swaps_total", result="refused") == 2
            (made.folder / "model.onnx").write_bytes(whole)
            await it.looked(8)
            assert await it.answer() == ("2", 60.0)

    run(main)


def test_the_wait_between_two_attempts_doubles_and_ends_at_a_minute() -> None:
    refusal = None
    for _ in range(10):
        refusal = RefusedVersion.after(refusal, 2, "", now=0.0)
    assert refusal is not None
    assert refusal.delay == 60.0
    assert not refusal.may_try(2, 59.0)
    assert refusal.may_try(3, 0.0)
    assert RefusedVersion.after(refusal, 3, "", now=0.0).delay == 1.0


def test_a_registry_that_is_down_leaves_the_version_that_serves(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            with monkeypatch.context() as patch:
                patch.setattr(DatabaseConnection, "find", _down)
                await it.looked()
                assert await it.answer() == ("1", 30.0)
                assert it.swap.health().reason == "the registry does not answer; the version that serves goes on"
            releases.publish(20.0)
            await it.looked()
            assert await it.answer() == ("2", 60.0)
            assert it.swap.health().reason == ""

    run(main)


def test_with_the_registry_down_at_start_it_is_not_ready_until_it_was_asked(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(DatabaseConnection, "find", _down)
            async with bench(releases) as it:
                with pytest.raises(NotStarted):
                    _ = it.swap.metadata
                with pytest.raises(Unavailable, match="not ready yet"):
                    await it.answer()
                assert (it.swap.identity(), it.swap.children) == (None, {})
                patch.undo()
                await it.looked()
                assert await it.answer() == ("1", 30.0)

    run(main)


def test_files_that_cannot_be_fetched_leave_the_version_that_serves_until_they_can(
    tmp_path: Path, s3_bucket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mlpatterns")
    releases = Releases(tmp_path / "of the trainer", artifacts=s3_bucket)
    releases.publish(10.0)
    settings = Settings(home=tmp_path / "home", registry=releases.settings.registry_url, artifacts=s3_bucket)

    async def main() -> None:
        async with bench(releases, settings=settings) as it:
            releases.publish(20.0)
            with monkeypatch.context() as patch:
                patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
                await it.looked(3)
                assert "recovered" not in caplog.text  # while it is tried once more
                assert await it.answer() == ("1", 30.0)
                said = "where the files of models are does not answer"
                assert it.swap.health().reason == f"{said}; the version that serves goes on"
                with pytest.raises(Unavailable, match=f"{said}, so nothing was changed"):
                    await it.command("swap", SwapTo(2))
            await it.looked()
            assert await it.answer() == ("2", 60.0)
            assert it.swap.health().reason == ""

    run(main)


def _down(*_: Any) -> Any:
    raise RegistryDown("the registry at postgresql://10.0.0.7 cannot be used")


def test_what_cannot_serve_at_start_is_its_sentence(releases: Releases, tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(UnknownName, match="did you mean 'times@champion'"):
            async with bench(releases, HotSwap(f"{NAME}@champoin")):
                pass
        corrupt(releases)
        with pytest.raises(UserError, match=r"version 2 is refused: times:2: model\.onnx does not match"):
            async with bench(releases):
                pass

    run(main)


def test_a_file_has_no_versions_to_change() -> None:
    with pytest.raises(CompositionError, match=r"and file:x\.onnx has none"):
        HotSwap("file:x.onnx")


def test_a_version_named_by_its_number_serves_until_a_command(releases: Releases) -> None:
    async def main() -> None:
        releases.publish(20.0)
        async with bench(releases, HotSwap(f"{NAME}:1")) as it:
            await it.looked()
            assert await it.answer() == ("1", 30.0)
            assert (await it.command("swap", SwapTo(2))).version == 2
            await it.looked()
            assert await it.answer() == ("2", 60.0)
            assert (await it.command("swap/follow")).version == 1

    run(main)


def test_rolling_back_serves_the_version_before_and_the_alias_no_longer_decides(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            for factor in (20.0, 30.0):
                releases.publish(factor)
                await it.looked()
            state = await it.command("swap/rollback")
            assert (state.version, state.pinned, state.previous) == (2, 2, 1)
            releases.publish(40.0)
            await it.looked(2)
            assert await it.answer() == ("2", 60.0)
            assert (await it.command("swap/rollback")).version == 1
            with pytest.raises(Conflict, match="none to roll back to"):
                await it.command("swap/rollback")
            state = await it.command("swap/follow")
            assert (state.version, state.pinned, state.previous) == (4, None, 1)

    run(main)


def test_a_version_can_be_pinned_by_its_number(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            releases.publish(20.0, promote=False)
            assert (await it.command("swap", SwapTo(2))).pinned == 2
            await it.looked(2)
            assert await it.answer() == ("2", 60.0)
            with pytest.raises(NotFound, match="times:9"):
                await it.command("swap", SwapTo(9))
            assert (await it.state()).pinned == 2

    run(main)


def test_a_version_that_cannot_serve_is_pinned_nowhere(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            releases.publish(20.0, promote=False, golden=BROKEN)
            with pytest.raises(Conflict, match=r"version 2 is refused: .*; the version that serves goes on"):
                await it.command("swap", SwapTo(2))
            assert (await it.state()).pinned is None
            await it.looked()
            assert await it.answer() == ("1", 30.0)
            assert it.swap.health().reason == ""

    run(main)


def test_all_who_share_the_control_store_follow_a_command(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as first, bench(releases) as second:
            releases.publish(20.0)
            await first.looked()
            await second.looked()
            assert await second.answer() == ("2", 60.0)
            await first.command("swap/rollback")
            async with asyncio.timeout(20):
                while await second.answer() != ("1", 30.0):
                    await second.looked()

    run(main)


def test_a_pin_outlives_the_alias_at_the_next_start(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            await it.command("swap", SwapTo(1))
            releases.publish(20.0)
            async with bench(releases) as again:
                assert await again.answer() == ("1", 30.0)

    run(main)


def test_around_it_a_cache_never_answers_from_another_version(releases: Releases) -> None:
    async def main() -> None:
        swap, clock = HotSwap(NAME), FakeClock()
        cache = PredictionCache(swap)
        async with running(cache, settings=releases.settings, clock=clock) as runtime:
            it = Bench(swap, clock, runtime)
            seen = []
            for factor in (20.0, 30.0):
                seen += [await cache.predict(request({"x": X})) for _ in range(2)]
                releases.publish(factor)
                await it.looked()
            assert [answer.model_version for answer in seen] == ["1", "1", "2", "2"]
            assert it.metric("mlpatterns_swaps_total", result="done") == 3

    run(main)


def test_pieces_can_be_built_around_each_version_and_answers_name_the_registered_version(releases: Releases) -> None:
    async def main() -> None:
        def make(reference: Any) -> Predictor:
            return Limit(Pipeline(OnnxModel(reference), name="inside"), max_concurrency=4)

        async with bench(releases, HotSwap(NAME, make)) as it:
            assert await it.answer() == ("1", 30.0)
            response = await it.swap.predict(request({"x": X}))
            assert (response.model_name, it.swap.metadata.name) == (NAME, NAME)

    run(main)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: OnnxModel(NAME), "pass the reference that .make. gets"),
        (lambda reference: PredictionCache(OnnxModel(reference)), "goes around a HotSwap"),
    ],
)
def test_what_it_cannot_change_safely_is_refused_at_start(
    releases: Releases, make: Callable[[Any], Predictor], why: str
) -> None:
    async def main() -> None:
        with pytest.raises(UserError, match=why):
            async with bench(releases, HotSwap(NAME, make)):
                pass

    run(main)


def test_after_a_failed_start_nothing_runs_on(releases: Releases) -> None:
    started: list[OnnxModel] = []

    def make(reference: Any) -> Predictor:
        started.append(OnnxModel(reference))
        return started[-1]

    async def main() -> None:
        releases.publish(20.0, golden=BROKEN)
        with pytest.raises(UserError, match="golden set"):
            async with bench(releases, HotSwap(NAME, make)):
                pass
        with pytest.raises(NotStarted):
            _ = started[0].metadata

    run(main)


def test_a_version_without_a_golden_set_is_refused_where_one_is_required(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases, HotSwap(NAME, require_golden=True)) as it:
            made = releases.publish(20.0)
            manifest = made.folder / "manifest.json"
            assert manifest.exists()
            (made.folder / "golden.json").unlink()
            await it.looked()
            assert "golden.json is missing" in it.swap.health().reason
            assert await it.answer() == ("1", 30.0)

    run(main)


def test_health_is_ready_and_says_what_is_wrong(releases: Releases) -> None:
    async def main() -> None:
        async with client(HotSwap(NAME, check_every=0.01), settings=releases.settings) as http:
            assert (await http.get("/health/ready")).json() == {"ready": True}
            releases.publish(20.0, golden=BROKEN)
            while (answer := (await http.get("/health/ready")).json()) == {"ready": True}:
                await asyncio.sleep(0.01)
            sentence = "version 2 is refused: its output 'y' differs from its golden set"
            assert answer == {"ready": True, "trouble": {NAME: sentence}}
            assert (await http.post("/swap/rollback")).status_code == 401

    run(main)


def test_it_can_be_started_again(releases: Releases) -> None:
    swap = HotSwap(NAME)

    async def main() -> None:
        async with bench(releases, swap) as it:
            assert await it.answer() == ("1", 30.0)
        with pytest.raises(NotStarted):
            _ = swap.metadata

    run(main)
    run(main)
