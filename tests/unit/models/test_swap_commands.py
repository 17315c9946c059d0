"""Commands of a HotSwap: one that fails has changed nothing anywhere, and the newest decides."""

from __future__ import annotations

import asyncio
from contextlib import closing
from math import inf
from threading import Event
from typing import Any

import pytest

from mlpatterns import Conflict, HotSwap, OnnxModel, RegistryDown, Unavailable
from mlpatterns.base import Wrapper
from mlpatterns.models import files
from mlpatterns.models.swap.document import SwapDocument
from mlpatterns.models.swap.hot_swap import SwapTo
from mlpatterns.predictor import Caller, Health, Predictor, Runtime
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.database import DatabaseConnection
from mlpatterns.registry.golden import Golden
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.stores.registry import VersionFiles
from releases import NAME, ROWS, Releases
from swapping import Bench, bench, run

KEY = f"{NAME}/swap"
BROKEN = Golden(1e-6, {"x": ROWS}, {"y": [[1.0], [1.0]]})


@pytest.fixture
def releases(tmp_path: Any) -> Releases:
    """Versions 1 to 3, of which the first is the champion."""
    made = Releases(tmp_path)
    for factor in (10.0, 20.0, 30.0):
        made.publish(factor, promote=factor == 10.0)
    return made


class Doors:
    """Builds versions that load when their door is open: all but those in `shut`."""

    def __init__(self, *shut: int) -> None:
        self.shut = {version: asyncio.Event() for version in shut}
        self.loading: list[int] = []
        self.given_up: list[int] = []

    def make(self, reference: Any) -> Predictor:
        return Door(OnnxModel(reference), reference.version, self)

    async def until(self, *loading: int) -> None:
        while self.loading != [*loading]:
            await asyncio.sleep(0.001)


class Door(Wrapper):
    def __init__(self, inner: Predictor, version: int, doors: Doors) -> None:
        super().__init__(inner)
        self._version, self._doors = version, doors

    async def start(self, runtime: Runtime) -> None:
        self._doors.loading.append(self._version)
        try:
            if self._version in self._doors.shut:
                await self._doors.shut[self._version].wait()
        except asyncio.CancelledError:
            self._doors.given_up.append(self._version)
            raise


async def audit(it: Bench) -> list[tuple[Any, str]]:
    """The document's versions, newest first, and who wrote each."""
    return [(document.value, document.by) for document in await it.runtime.control.history(KEY)]


class Panic(BaseException):
    """As Rust's PanicException: no Exception."""


# ---- a command that fails ----


def test_with_the_control_store_down_a_command_changes_nothing_also_when_it_is_back(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            before, started = await audit(it), list(it.runtime._started)
            with monkeypatch.context() as patch:
                patch.setattr(it.runtime.control, "put", down)
                with pytest.raises(Unavailable):
                    await it.command("swap", SwapTo(2))
                assert await it.answer() == ("1", 30.0)
            await it.looked(4)
            assert await it.answer() == ("1", 30.0)
            assert (await audit(it), it.runtime._started) == (before, started)
            assert it.swap.health() == Health()
            assert (await it.command("swap", SwapTo(2))).version == 2

    run(main)


async def down(*_: Any, **__: Any) -> Any:
    raise Unavailable("the control store does not answer")


def test_a_version_that_fails_its_check_is_written_nowhere_and_stopped(releases: Releases) -> None:
    async def main() -> None:
        releases.publish(40.0, promote=False, golden=BROKEN)
        async with bench(releases) as it:
            before, started = await audit(it), list(it.runtime._started)
            with pytest.raises(Conflict, match="golden set"):
                await it.command("swap", SwapTo(4))
            assert (await audit(it), it.runtime._started) == (before, started)
            assert await it.answer() == ("1", 30.0)

    run(main)


def test_a_caller_who_leaves_ends_the_load(releases: Releases) -> None:
    async def main() -> None:
        doors = Doors(2)
        async with bench(releases, HotSwap(NAME, doors.make)) as it:
            started = list(it.runtime._started)
            leaving = asyncio.create_task(it.command("swap", SwapTo(2)))
            await doors.until(1, 2)
            leaving.cancel()
            await asyncio.wait([leaving])
            await it.looked()
            assert (doors.given_up, it.runtime._started) == ([2], started)
            assert (await it.state()).pinned is None

    run(main)


def test_a_refusal_of_the_alias_version_is_remembered_after_a_command(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            releases.publish(40.0, golden=BROKEN)
            await it.looked()
            trouble = it.swap.health().reason
            with pytest.raises(Conflict):
                await it.command("swap", SwapTo(4))
            await it.looked()
            assert it.swap.health().reason == trouble != ""
            assert it.metric("mlpatterns_swaps_total", result="refused") == 2

    run(main)


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), Panic()])
def test_whatever_user_code_raises_is_a_refusal(releases: Releases, error: BaseException) -> None:
    def make(reference: Any) -> Predictor:
        if reference.version == 2:
            raise error
        return OnnxModel(reference)

    async def main() -> None:
        async with bench(releases, HotSwap(NAME, make)) as it:
            with pytest.raises(Conflict, match="its start failed; the log has the error"):
                await it.command("swap", SwapTo(2))
            releases.point(2)
            await it.looked()
            assert it.swap.health().reason.startswith("version 2 is refused")
            assert await it.answer() == ("1", 30.0)

    run(main)


# ---- the newest decides ----


def test_a_command_ends_the_load_of_what_the_alias_names_and_answers_at_once(releases: Releases) -> None:
    async def main() -> None:
        doors = Doors(3)
        async with bench(releases, HotSwap(NAME, doors.make)) as it:
            releases.point(2)
            await it.looked()
            releases.point(3)
            await it.clock.advance(0.3)
            await doors.until(1, 2, 3)
            assert (await it.command("swap/rollback")).version == 1
            await it.looked()
            assert (doors.given_up, await it.answer()) == ([3], ("1", 30.0))

    run(main)


def test_a_command_to_what_serves_ends_the_load_of_another_version(releases: Releases) -> None:
    async def main() -> None:
        doors = Doors(3)
        async with bench(releases, HotSwap(NAME, doors.make)) as it:
            releases.point(3)
            await it.clock.advance(0.3)
            await doors.until(1, 3)
            assert (await it.command("swap", SwapTo(1))).pinned == 1
            await asyncio.sleep(0)
            assert doors.given_up == [3]

    run(main)


def test_an_alias_that_moves_on_ends_the_load_and_one_that_moves_back_too(releases: Releases) -> None:
    async def main() -> None:
        doors = Doors(3)
        async with bench(releases, HotSwap(NAME, doors.make)) as it:
            for number, answer in ((2, ("2", 60.0)), (1, ("1", 30.0))):
                releases.point(3)
                await it.clock.advance(0.3)
                while doors.loading[-1] != 3:
                    await asyncio.sleep(0.001)
                releases.point(number)
                await it.looked()
                assert await it.answer() == answer
            assert doors.given_up == [3, 3]

    run(main)


def test_a_newer_command_ends_one_that_still_loads_which_has_changed_nothing(releases: Releases) -> None:
    async def main() -> None:
        doors = Doors(3)
        async with bench(releases, HotSwap(NAME, doors.make)) as it:
            early = asyncio.create_task(it.command("swap", SwapTo(3)))
            await doors.until(1, 3)
            assert (await it.command("swap", SwapTo(2))).version == 2
            with pytest.raises(Conflict, match="another command came in the meantime"):
                await early
            await it.looked()
            assert await it.answer() == ("2", 60.0)
            assert [value["pin"] for value, _ in await audit(it)] == [2, None]

    run(main)


def test_a_newer_command_waits_for_one_that_is_being_written(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            put, gate, writing = it.runtime.control.put, asyncio.Event(), asyncio.Event()

            async def slow(*given: Any, **named: Any) -> Any:
                writing.set()
                await gate.wait()
                return await put(*given, **named)

            monkeypatch.setattr(it.runtime.control, "put", slow)
            early = asyncio.create_task(it.command("swap", SwapTo(2)))
            await writing.wait()
            late = asyncio.create_task(it.command("swap", SwapTo(3)))
            await asyncio.sleep(0.05)
            gate.set()
            assert ((await early).version, (await late).version) == (2, 3)
            assert await it.answer() == ("3", 90.0)

    run(main)


def test_while_a_version_loads_at_start_the_alias_may_move_on(releases: Releases) -> None:
    async def main() -> None:
        doors = Doors(1)

        async def move() -> None:
            await doors.until(1)
            releases.point(2)

        swap = HotSwap(NAME, doors.make, check_every=0.01)
        moving = asyncio.create_task(move())
        async with running(swap, settings=releases.settings):
            await moving
            assert (swap.metadata.version, doors.given_up) == ("2", [1])

    run(main)


# ---- several processes ----


def test_who_is_behind_rolls_back_what_the_others_serve(releases: Releases) -> None:
    async def main() -> None:
        doors = Doors(2)
        async with bench(releases, HotSwap(NAME, doors.make)) as behind, bench(releases) as ahead:
            releases.point(2)
            await ahead.looked()
            assert await ahead.answer() == ("2", 60.0)
            state = await behind.command("swap/rollback")
            assert (state.version, state.pinned) == (1, 1)

    run(main)


@pytest.mark.parametrize(
    ("served", "serving", "before"),
    [
        ((), None, None), ((), 1, None), ((1,), 1, None), ((1, 2), 2, 1), ((1, 2), 1, 1), ((1, 2), None, 2),
        ((1, 2), 3, 2), ((1, 2, 3), 2, 2),
    ],
)  # fmt: skip
def test_the_version_before(served: tuple[int, ...], serving: int | None, before: int | None) -> None:
    assert SwapDocument(None, served).before(serving) == before


def test_the_audit_names_who_did_it(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            await it.command("swap", SwapTo(2), Caller("bob", {}, inf))
            await it.command("swap/rollback", None, Caller("eve", {}, inf))
            await it.command("swap/follow", None, Caller(None, {}, inf))
            assert [by for _, by in await audit(it)] == ["anonymous", "eve", "bob", "alias"]

    run(main)


def test_under_a_pin_nothing_is_written_in_the_name_of_the_alias(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as it, bench(releases) as other:
            await it.command("swap", SwapTo(2), Caller("bob", {}, inf))
            await other.looked(2)
            assert await other.answer() == ("2", 60.0)
            assert [by for _, by in await audit(it)] == ["bob", "alias"]

    run(main)


def test_a_command_elsewhere_is_followed_while_the_registry_hangs(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        asked, over = Event(), Event()

        def hangs(*_: Any) -> Any:
            asked.set()
            over.wait(20)
            raise RegistryDown("it is gone")

        swap = HotSwap(NAME, check_every=0.01)
        async with running(swap, settings=releases.settings), bench(releases, HotSwap(f"{NAME}:1")) as teller:
            try:
                remember(monkeypatch)
                monkeypatch.setattr(DatabaseConnection, "find", hangs)
                while not asked.is_set():
                    await asyncio.sleep(0.01)
                await teller.command("swap", SwapTo(2))
                while swap.metadata.version != "2":
                    await asyncio.sleep(0.01)
                assert not over.is_set()
            finally:
                over.set()

    run(main)


def remember(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a version's files are is known from now on: as of any registry but one in a file, which cannot hang."""
    find = DatabaseConnection.find

    def known(reference: RegisteredReference, settings: Settings) -> VersionFiles | None:
        if reference.version is None:
            return None
        with closing(DatabaseConnection(settings.registry_url)) as asker:
            return find(asker, reference)

    monkeypatch.setattr(files, "cached_answer", known)


# ---- without a registry ----


def test_with_the_registry_down_at_start_the_version_that_served_last_serves(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with bench(releases) as it:
            releases.point(2)
            await it.looked()
        with monkeypatch.context() as patch:
            remember(patch)
            patch.setattr(DatabaseConnection, "find", unreachable)
            async with bench(releases) as it:
                assert await it.answer() == ("2", 60.0)
                await it.looked()
                assert it.swap.health() == Health(True, "the registry does not answer; the version that serves goes on")
                patch.undo()
                releases.point(3)
                await it.looked()
                assert await it.answer() == ("3", 90.0)

    run(main)


def test_with_neither_registry_nor_anything_kept_it_is_not_ready_and_says_why(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setattr(DatabaseConnection, "find", unreachable)
        async with bench(releases) as it:
            assert it.swap.health() == await it.swap.check() == Health(False, "the registry does not answer")

    run(main)


def unreachable(*_: Any) -> Any:
    raise RegistryDown("the registry at postgresql://10.0.0.7 cannot be used")


def test_what_is_built_around_a_version_has_a_say_in_its_health(releases: Releases) -> None:
    class Ill(Wrapper):
        def health(self) -> Health:
            return Health(False, "the remote does not answer")

    async def main() -> None:
        async with bench(releases, HotSwap(NAME, lambda reference: Ill(OnnxModel(reference)))) as it:
            assert it.swap.health() == Health(False, "the remote does not answer")

    run(main)
