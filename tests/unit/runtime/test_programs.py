"""Programs in a test and in an app: which run, what starts for them, and what ends before what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import pytest

from mlpatterns.base import BasePredictor, Wrapper
from mlpatterns.predictor import Predictor, Program, Runtime
from mlpatterns.runtime import AppRuntime, running
from mlpatterns.server.app import App, serve
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, client
from mlpatterns.user_errors import SettingsError, UserError

SETTINGS = Settings(control="memory://", lease_seconds=0.3, admin_token="t0ken")
TOKEN = {"x-admin-token": "t0ken"}


class Works:
    """A program that notes when it begins and ends."""

    def __init__(
        self, name: str, notes: list[str], *, exclusive: bool = False, needs: Sequence[Predictor] = ()
    ) -> None:
        self.name, self.notes, self.exclusive, self.needs = name, notes, exclusive, needs

    async def run(self, runtime: Runtime) -> None:
        await runtime.start_tree(*self.needs)
        self.notes.append(f"{runtime.path} {self.name} begins" + (f", fence {runtime.fence}" if runtime.fence else ""))
        try:
            await asyncio.Event().wait()
        finally:
            self.notes.append(f"{self.name} ends")


class Fails:
    """A program that fails."""

    name, exclusive = "fails", False

    async def run(self, runtime: Runtime) -> None:
        raise ValueError("it cannot be")


class Piece(BasePredictor):
    """Notes when it starts and stops."""

    def __init__(self, name: str, notes: list[str], *children: Predictor, apart: Sequence[str] = ()) -> None:
        super().__init__(name, {child.name: child for child in children})
        self.notes, self.apart, self.programs = notes, apart, list[Program]()

    async def start(self, runtime: Runtime) -> None:
        self.notes.append(f"{self.name} starts")

    async def stop(self) -> None:
        self.notes.append(f"{self.name} stops")


def queue(notes: list[str]) -> Piece:
    """A queue around a monitor around a model: the queue's worker starts the monitor and the model, which are apart."""
    monitor = Piece("monitor", notes, Piece("model", notes))
    monitor.programs = [Works("watch", notes, exclusive=True)]
    made = Piece("queue", notes, monitor, apart=("monitor",))
    made.programs = [Works("work", notes, needs=[monitor])]
    return made


class Working(Wrapper):
    """A served piece with a program."""

    def __init__(self, *programs: Program) -> None:
        super().__init__(CountingModel("m"))
        self.programs = programs


async def until(notes: Sequence[str], count: int) -> list[str]:
    """`notes` when they are `count`."""
    async with asyncio.timeout(5):
        while len(notes) < count:
            await asyncio.sleep(0.001)
    return list(notes)


def test_programs_of_what_is_apart_run_too_and_end_before_anything_stops() -> None:
    notes: list[str] = []
    root = queue(notes)

    async def main() -> None:
        async with running(root, settings=SETTINGS) as runtime:
            assert notes == ["queue starts"]
            assert await runtime.run_programs([("queue", root)])
            assert notes[1:] == ["monitor starts"]  # alone: the program of the queue starts the model
            await until(notes, 5)
            assert notes[2] == "model starts"
            assert set(notes[3:]) == {"queue work begins", "queue/monitor watch begins, fence 1"}

    asyncio.run(main())
    assert set(notes[5:7]) == {"work ends", "watch ends"}
    assert notes[7:] == ["model stops", "monitor stops", "queue stops"]


def test_where_nothing_runs_yet_only_the_pieces_with_programs_start() -> None:
    notes: list[str] = []
    root = Piece("root", notes, queue(notes), Piece("other", notes))

    async def main(runtime: AppRuntime) -> None:
        assert await runtime.run_programs([("root", root)])
        assert notes == ["monitor starts", "queue starts"]
        assert not await runtime.run_programs([("none", Piece("none", notes))])

    asyncio.run(_with_runtime(main))


def test_a_program_may_stop_what_it_started_and_its_piece_and_other_programs_run_on() -> None:
    notes: list[str] = []
    root = queue(notes)

    async def main(runtime: AppRuntime) -> None:
        await runtime.run_programs([("queue", root)])
        await until(notes, 5)
        await runtime.stop_tree(root.children["monitor"])
        assert notes[5:] == ["model stops"]

    asyncio.run(_with_runtime(main))


def test_an_error_at_the_start_of_a_piece_that_has_a_program_is_raised() -> None:
    class Broken(Piece):
        async def start(self, runtime: Runtime) -> None:
            raise SettingsError("no such store")

    async def main(runtime: AppRuntime) -> None:
        broken = Broken("broken", [])
        broken.programs = [Works("work", [])]
        with pytest.raises(SettingsError, match="no such store"):
            await runtime.run_programs([("broken", broken)])

    asyncio.run(_with_runtime(main))


def test_a_program_that_fails_is_told_and_ends_nothing() -> None:
    async def main() -> None:
        async with client(serve(lambda: Working(Fails()), settings=SETTINGS)) as http:
            async with asyncio.timeout(5):
                while not (told := (await http.get("/health/ready")).json().get("trouble")):
                    await asyncio.sleep(0.001)
            assert told == {"programs": "fails of m fails and is started anew"}
            assert (await http.post("/predict", json={"data": [[1, 2]]})).status_code == 200
            metrics = (await http.get("/metrics")).text
            assert 'mlpatterns_task_failing{piece="m",task="fails"} 1.0' in metrics

    asyncio.run(main())


def test_a_model_that_is_unloaded_takes_its_programs_with_it_and_one_that_is_loaded_brings_its_own() -> None:
    notes: list[str] = []
    app = serve(lambda: Working(Works("work", notes, exclusive=True)), settings=SETTINGS)

    async def main() -> None:
        async with client(app) as http:
            assert await until(notes, 1) == ["m work begins, fence 1"]
            assert (await http.post("/v2/repository/models/m/unload", headers=TOKEN)).status_code == 200
            assert notes[1:] == ["work ends"]
            assert (await http.post("/v2/repository/models/m/load", headers=TOKEN)).status_code == 200
            assert (await until(notes, 3))[2].startswith("m work begins, fence ")

    asyncio.run(main())
    assert notes[3:] == ["work ends"]


def test_a_server_that_drains_ends_its_programs_at_once_and_answers_on() -> None:
    notes: list[str] = []
    app = serve(lambda: Working(Works("work", notes)), settings=SETTINGS)

    async def main() -> None:
        async with client(app) as http:
            await until(notes, 1)
            app.draining = True
            assert await until(notes, 2) == ["m work begins", "work ends"]
            assert (await http.post("/predict", json={"data": [[1, 2]]})).status_code == 200

    asyncio.run(main())


def test_off_and_apart_mean_that_the_app_runs_no_programs() -> None:
    async def main(app: App) -> None:
        async with client(app):
            await asyncio.sleep(0.01)

    notes: list[str] = []
    where: tuple[Literal["off", "apart"], ...] = ("off", "apart")
    for programs in where:
        settings = Settings(control="memory://", programs=programs)
        asyncio.run(main(serve(lambda: Working(Works("work", notes)), settings=settings)))
    assert notes == []


def test_what_is_apart_is_drawn_and_neither_loaded_nor_needed_to_serve() -> None:
    notes: list[str] = []
    piece = Wrapper(CountingModel("m"))
    piece.children = {**piece.children, "candidate": Piece("candidate", notes)}
    piece.apart = ("candidate",)

    async def main() -> None:
        async with client(piece) as http:
            paths = ("/metadata", "/openapi.json", "/health/ready", "/v2/models/m", "/v2/models/m/stats", "/docs")
            answers = [await http.get(path) for path in paths]
            assert [answer.status_code for answer in answers] == [200] * len(paths)
            assert "Piece candidate, apart" in answers[-1].text

    asyncio.run(main())
    assert notes == []


def test_an_app_that_only_works_serves_metrics_and_health_and_starts_no_model() -> None:
    notes: list[str] = []
    app = serve(lambda: {"q": queue(notes), "m": Piece("m", notes)}, settings=SETTINGS)
    app.programs_only = True

    async def main() -> None:
        async with client(app) as http:
            await until(notes, 5)
            assert "m starts" not in notes
            paths = ("/metrics", "/health", "/health/live", "/health/ready", "/models/m/predict", "/v2", "/docs")
            assert [(await http.get(path)).status_code for path in paths] == [200] * 4 + [404] * 3
            app.draining = True
            assert (await http.get("/health/ready")).status_code == 503

    asyncio.run(main())


def test_an_app_that_only_works_and_has_no_programs_is_a_users_error() -> None:
    app = serve(lambda: CountingModel("m"), settings=SETTINGS)
    app.programs_only = True

    async def main() -> None:
        async with app.running():
            raise AssertionError("it must not run")

    with pytest.raises(UserError, match="has no programs"):
        asyncio.run(main())


async def _with_runtime(work: Callable[[AppRuntime], Awaitable[None]]) -> None:
    async with running(settings=SETTINGS) as runtime:
        await work(runtime)
