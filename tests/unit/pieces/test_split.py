"""Split: who is answered by which arm, what is noted of it, and how the weights change."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from core import CALLER
from mlpatterns import CircuitBreaker, FanOut, Health, InferenceRequest, PredictionCache, Split
from mlpatterns.errors import Conflict, InvalidInput, Unavailable
from mlpatterns.metadata import ModelMetadata
from mlpatterns.metrics import ProcessMetrics
from mlpatterns.pieces.split.split import EXPOSURE
from mlpatterns.pieces.split.weights import SplitWeights
from mlpatterns.predictor import Operation, Predictor
from mlpatterns.runtime import AppRuntime, running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FakeClock, FlakyModel, client, request
from mlpatterns.user_errors import CompositionError

Work = Callable[[AppRuntime], Awaitable[None]]


def two(**options: Any) -> Split:
    arms = {"a": CountingModel("one", version="1"), "b": CountingModel("other", version="2")}
    return Split(arms, **{"weights": {"a": 60, "b": 40}, "sticky_by": "user-id"} | options)


def run(
    work: Work, root: Predictor, control: str = "memory://", metrics: ProcessMetrics | None = None, **options: Any
) -> None:
    async def main() -> None:
        async with running(root, settings=Settings(control=control), metrics=metrics, **options) as runtime:
            await work(runtime)

    asyncio.run(main())


def of(user: str | None, purpose: str = "request") -> InferenceRequest:
    asked = request([[1.0]], headers={} if user is None else {"user-id": user})
    asked.context.purpose = purpose  # type: ignore[assignment]
    return asked


async def arm_of(split: Predictor, user: str | None) -> str:
    asked = of(user)
    await split.predict(asked)
    return str(next(note.value for note in asked.context.notes if note.key == "arm"))


async def arms_of(split: Predictor, users: int = 300) -> dict[str, str]:
    return {str(user): await arm_of(split, str(user)) for user in range(users)}


def operation(split: Split, name: str, kind: str) -> Operation:
    return next(each for each in split.operations if (each.name, each.kind) == (name, kind))


async def ask(split: Split, name: str, kind: str, told: Any = None) -> Any:
    return await operation(split, name, kind).handler(told, CALLER)


def test_a_user_keeps_the_arm_and_the_shares_are_those_of_the_weights() -> None:
    split = two()

    async def work(_: AppRuntime) -> None:
        first = await arms_of(split, 2000)
        assert first == await arms_of(split, 2000)
        assert abs(Counter(first.values())["a"] - 1200) < 100  # 4.5 standard deviations

    run(work, split)


def test_without_the_header_each_request_is_drawn_anew_and_noted_as_not_sticky() -> None:
    split = two()

    async def work(_: AppRuntime) -> None:
        for user in (None, ""):
            seen = set()
            for _try in range(100):
                asked = of(user)
                await split.predict(asked)
                (exposure,) = [note.value for note in asked.context.notes if note.key == EXPOSURE]
                assert (exposure["sticky"], exposure["unit"]) == (False, None)
                seen.add(exposure["arm"])
            assert seen == {"a", "b"}

    run(work, split)


def test_the_exposure_is_noted_before_the_arm_is_asked_and_names_no_user() -> None:
    split = Split({"a": FlakyModel()}, sticky_by="user-id")

    async def work(_: AppRuntime) -> None:
        asked = of("ann@example.com")
        with pytest.raises(Unavailable):
            await split.predict(asked)
        notes = {note.key: note for note in asked.context.notes if note.path == "split"}
        exposure = notes[EXPOSURE].value
        assert exposure == {"arm": "a", "unit": exposure["unit"], "sticky": True, "revision": 0, "number": 1,
                            "source": exposure["source"]}  # fmt: skip
        assert len(exposure["unit"]) == 16
        assert "ann" not in str(asked.context.notes)
        assert notes["arm"].public
        assert not notes[EXPOSURE].public

    run(work, split)


@pytest.mark.parametrize("purpose", ["test", "probe", "replay"])
def test_only_requests_of_callers_are_exposed_and_counted(purpose: str) -> None:
    split, metrics = two(), ProcessMetrics()

    async def work(_: AppRuntime) -> None:
        asked = of("ann", purpose)
        await split.predict(asked)
        assert [note.key for note in asked.context.notes if note.path == "split"] == ["arm"]

    run(work, split, metrics=metrics)
    assert sum(s.values[0] for s in metrics.samples() if s.family.name == "mlpatterns_split_requests_total") == 0


def test_requests_are_counted_by_arm_and_stickiness() -> None:
    split, metrics = two(), ProcessMetrics()

    async def work(_: AppRuntime) -> None:
        for user in ("ann", "ann", None):
            await split.predict(of(user))

    run(work, split, metrics=metrics)
    counted = Counter[str]()
    for sample in metrics.samples():
        if sample.family.name == "mlpatterns_split_requests_total":
            counted[dict(sample.labels)["sticky"]] += int(sample.values[0])
    assert counted == {"true": 2, "false": 1}


def test_the_answer_is_the_splits_and_described_is_the_arm_that_answered() -> None:
    split = two(weights={"a": 0, "b": 1})

    async def work(_: AppRuntime) -> None:
        answer = await split.predict(of("ann"))
        assert (answer.model_name, answer.model_version) == ("split", "2")
        assert answer.described is not None
        assert answer.described.name == "other"
        assert answer.identity == split.children["b"].identity()

    run(work, split)


def test_a_change_moves_what_must_move_and_an_undo_brings_it_back(tmp_path: Path) -> None:
    split = two()

    async def work(_: AppRuntime) -> None:
        first = await arms_of(split)
        state = await ask(split, "weights", "command", SplitWeights({"a": 30, "b": 70}))
        assert (state.buckets, state.revision, state.by) == ({"a": 3000, "b": 7000}, 1, "ann")
        second = await arms_of(split)
        moved = {user for user in first if first[user] != second[user]}
        assert {first[user] for user in moved} == {"a"}
        assert 60 < len(moved) < 120
        back = await ask(split, "weights/undo", "command")
        assert (back.weights, back.revision) == ({"a": 60, "b": 40}, 2)
        assert await arms_of(split) == first
        assert [one.revision for one in await ask(split, "weights/history", "query")] == [2, 1]
        assert await ask(split, "weights", "query") == back

    run(work, split)


def test_what_was_told_holds_after_a_restart(tmp_path: Path) -> None:
    control, found = f"sqlite:///{tmp_path}/control.db", []

    async def change(_: AppRuntime) -> None:
        await ask(split, "weights", "command", SplitWeights({"a": 1, "b": 3}))
        found.append(await arms_of(split))

    async def look(_: AppRuntime) -> None:
        found.append(await arms_of(split))

    for work in (change, look):
        split = two()
        run(work, split, control)
    assert found[0] == found[1]


def test_nothing_to_undo_is_a_conflict() -> None:
    split = two()

    async def work(_: AppRuntime) -> None:
        with pytest.raises(Conflict, match="nothing to undo"):
            await ask(split, "weights/undo", "command")

    run(work, split)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"a": 1}, "each of the arms a, b, and no other"),
        ({"a": 1, "b": 1, "c": 1}, "each of the arms a, b, and no other"),
        ({}, "each of the arms a, b, and no other"),
        ({"a": 0, "b": 0}, "greater than 0"),
        ({"a": -1, "b": 2}, "from 0 to"),
        ({"a": 1e300, "b": 1}, "from 0 to"),
    ],
)
def test_weights_that_are_none_change_nothing(weights: dict[str, float], sentence: str) -> None:
    split = two()

    async def work(_: AppRuntime) -> None:
        with pytest.raises(InvalidInput, match=sentence):
            await ask(split, "weights", "command", SplitWeights(weights))
        assert (await ask(split, "weights", "query")).revision == 0

    run(work, split)


def test_the_command_needs_the_token_and_refuses_what_is_no_weight() -> None:
    settings = Settings(control="memory://", admin_token="secret")

    async def main() -> None:
        async with client(two(), settings=settings) as http:
            right = {"weights": {"a": 1, "b": 1}}
            assert (await http.post("/weights", json=right)).status_code == 401
            token = {"x-admin-token": "secret"}
            several: list[Any] = [{"weights": {"a": "1", "b": 1}}, {"weights": [1]}, {}, {**right, "more": 1}, []]
            for wrong in several:
                answer = await http.post("/weights", json=wrong, headers=token)
                assert answer.status_code == 400, wrong
                assert set(answer.json()) == {"error"}
            assert (await http.post("/weights", json=right, headers=token)).json()["buckets"] == {"a": 5000, "b": 5000}
            assert (await http.get("/weights")).json()["revision"] == 1
            answer = await http.post("/predict", json={"data": [[1.0]]}, headers={"user-id": "ann"})
            assert answer.headers["x-mlp-arm"] in ("a", "b")

    asyncio.run(main())


@pytest.mark.parametrize("runs", [(0, 9), (7, 10_000), (0,)])
def test_what_is_no_allocation_in_the_store_leaves_the_weights_before_in_use(runs: tuple[int, ...]) -> None:
    split = two()

    async def work(_: AppRuntime) -> None:
        first = await arms_of(split, 20)
        await split.weights._shared.change(lambda now: replace(now, runs=runs), "somebody")
        assert await arms_of(split, 20) == first
        assert split.health() == Health(True, "the weights in the control store are not what they should be")
        assert (await ask(split, "weights", "query")).revision == 0
        assert await ask(split, "weights/history", "query") == []
        await ask(split, "weights/undo", "command")
        assert split.health() == Health()

    run(work, split)


@pytest.mark.parametrize("runs", [(0, 9), (7, 10_000), (0,)])
def test_what_is_no_allocation_when_it_starts_answers_nobody(runs: tuple[int, ...], tmp_path: Path) -> None:
    control = f"sqlite:///{tmp_path}/control.db"

    async def damage(_: AppRuntime) -> None:
        await before.weights._shared.change(lambda now: replace(now, runs=runs), "somebody")

    async def work(_: AppRuntime) -> None:
        with pytest.raises(Unavailable, match="not what they should be"):
            await after.predict(of("ann"))
        assert not after.health().ready
        await ask(after, "weights/undo", "command")
        await after.predict(of("ann"))

    before, after = two(), two()
    run(damage, before, control)
    run(work, after, control)


def test_until_the_weights_could_be_read_nobody_is_answered() -> None:
    split = two()

    async def work(_: AppRuntime) -> None:
        with pytest.raises(Unavailable, match="has not answered yet"):
            await split.predict(of("ann"))

    run(work, split, "redis://127.0.0.1:1/0")


def test_a_reason_that_the_piece_and_the_server_both_give_is_said_once() -> None:
    async def main() -> None:
        async with client(two, settings=Settings(control="redis://127.0.0.1:1/0")) as http:
            answer = await http.get("/health/ready")
            assert answer.status_code == 503
            assert answer.json()["error"] == "not ready yet: the control store has not answered yet"

    asyncio.run(main())


class Down(CountingModel):
    """It has started, and cannot be reached."""

    def health(self) -> Health:
        return Health(False, "it is down")


@pytest.mark.parametrize(("weights", "ready"), [({"a": 1, "b": 1}, False), ({"a": 1, "b": 0}, True)])
def test_it_is_ready_while_every_arm_is_that_has_traffic(weights: Mapping[str, float], ready: bool) -> None:
    split = Split({"a": CountingModel(), "b": Down()}, weights=weights)

    async def work(_: AppRuntime) -> None:
        health = split.health()
        assert (health.ready, health.reason) == (ready, "it is down")

    run(work, split)


def test_what_a_caller_meets_is_described_where_it_differs() -> None:
    arms = {"a": CountingModel("a", labels=("low",)), "b": CountingModel("b", labels=("high",))}
    split = Split(arms, sticky_by="user-id")

    async def work(_: AppRuntime) -> None:
        assert split.metadata.labels == ()
        met = {split.describe(of(str(user)).context).labels for user in range(50)}
        assert met == {("low",), ("high",)}
        assert split.describe(of(None).context) is split.metadata

    run(work, split)
    same = two()

    async def alike(_: AppRuntime) -> None:
        assert same.describe(of("ann").context) is same.metadata

    run(alike, same)


def test_two_splits_do_not_agree_unless_they_are_told_to() -> None:
    def inside(**options: Any) -> FanOut:
        return FanOut({"x": two(**options), "y": two(**options)})

    async def together(root: FanOut) -> int:
        same = 0
        for user in range(400):
            asked = of(str(user))
            await root.predict(asked)
            x, y = (note.value for note in asked.context.notes if note.key == "arm")
            same += x == y
        return same

    apart, salted = inside(), inside(salt="one")

    async def work(_: AppRuntime) -> None:
        assert abs(await together(apart) - 208) < 50  # 0.6 * 0.6 + 0.4 * 0.4

    async def alike(_: AppRuntime) -> None:
        assert await together(salted) == 400

    run(work, apart)
    run(alike, salted)


def test_another_replica_follows_within_a_second(tmp_path: Path) -> None:
    one, other, clock = two(), two(), FakeClock()
    settings = Settings(control=f"sqlite:///{tmp_path}/control.db")

    async def main() -> None:
        async with running(one, settings=settings, clock=clock), running(other, settings=settings, clock=clock):
            assert await arms_of(one) == await arms_of(other)
            await ask(one, "weights", "command", SplitWeights({"a": 0, "b": 1}))
            for _turn in range(100):  # of the threads that ask SQLite, which the clock does not move
                await clock.advance(0.01)
                await asyncio.sleep(0.005)
            assert set((await arms_of(other)).values()) == {"b"}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"weights": {"a": 1}}, "each of the arms"),
        ({"weights": {"a": 0, "b": 0}}, "greater than 0"),
        ({"sticky_by": "session-id"}, "an id that grants no access"),
        ({"sticky_by": "Authorization"}, "an id that grants no access"),
        ({"sticky_by": "content-length"}, "cannot be read"),
        ({"sticky_by": "no header"}, "cannot be read"),
    ],
)
def test_what_cannot_be_composed_is_said(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CompositionError, match=sentence):
        two(**options)


@pytest.mark.parametrize("arms", [{}, {"a b": CountingModel()}, {str(n): CountingModel() for n in range(101)}])
def test_arms_that_cannot_be_are_said(arms: dict[str, Predictor]) -> None:
    with pytest.raises(CompositionError):
        Split(arms)


def test_arms_that_do_not_fit_are_refused_at_start() -> None:
    class Wide(CountingModel):
        @property
        def metadata(self) -> ModelMetadata:
            found = super().metadata
            return replace(found, outputs=(replace(found.outputs[0], shape=(-1, 9)),))

    async def work(_: AppRuntime) -> None:
        raise AssertionError("it must not run")

    with pytest.raises(CompositionError, match="the arms of 'split' must have the same outputs: 'a' gives"):
        run(work, Split({"a": CountingModel(), "b": Wide()}))


def test_a_cache_and_a_breaker_inside_an_arm_work_as_they_do_alone() -> None:
    models = {"a": CountingModel("a", digest="a"), "b": CountingModel("b", digest="b")}
    arms = {"a": PredictionCache(CircuitBreaker(models["a"])), "b": PredictionCache(models["b"])}
    split = Split(arms, sticky_by="user-id")

    async def work(_: AppRuntime) -> None:
        for _time in range(2):
            for user in range(20):
                await split.predict(of(str(user)))
        assert (models["a"].calls, models["b"].calls) == (1, 1)

    run(work, split)


def test_the_header_is_read_in_lower_case() -> None:
    split = two(sticky_by="Visitor-Id")
    assert (split.sticky_by, tuple(split.reads_headers)) == ("visitor-id", ("visitor-id",))
    assert split.depends_on_caller
