"""Route: who answers whom, for every question about the model, and what happens where nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from core import noted
from mlpatterns import DataRule, Predictor, Route, Rule
from mlpatterns.errors import DeadlineExceeded, InternalError, InvalidInput, NotFound, NotStarted
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FlakyModel, SlowModel, client, request
from mlpatterns.user_errors import CompositionError, UnknownName

MOUNTAIN = Rule(to="b", headers={"target": "mountain"})


def run(root: Predictor, work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running(root, settings=Settings(control="memory://")):
            await work()

    asyncio.run(main())


def two(**options: Any) -> Route:
    parts = {
        "a": CountingModel("a", version="1", digest="a", labels=("low",)),
        "b": CountingModel("b", version="2", digest="b", labels=("high",)),
    }
    return Route(parts, **({"rules": [MOUNTAIN], "default": "a"} | options))


async def who(route: Route, data: Any = ((1.0,),), **asked: Any) -> str:
    made = request(data, **asked)
    await route.predict(made)
    return str(noted(made.context, "route"))


def test_the_first_rule_that_is_met_decides_and_the_answer_says_who_answered() -> None:
    route = two()

    async def work() -> None:
        assert await who(route) == "a"
        asked = request([[1.0, 2.0]], headers={"target": "mountain"})
        answer = await route.predict(asked)
        assert (answer.model_name, answer.model_version) == ("route", "2")
        assert answer.described is not None
        assert answer.described.labels == ("high",)
        assert answer.identity == route.children["b"].identity()
        assert [note.path for note in asked.context.notes] == ["route", "route/b"]

    run(route, work)


def test_the_order_of_the_rules_counts() -> None:
    route = two(rules=[Rule(to="a", parameters={"k": 1}), Rule(to="b", parameters={"k": 1}), MOUNTAIN], default="b")

    async def work() -> None:
        assert await who(route, parameters={"k": 1}, headers={"target": "mountain"}) == "a"

    run(route, work)


def test_a_rule_may_look_at_the_data_and_may_be_a_function() -> None:
    rules = [Rule(to="b", data=(DataRule(column=0, at_least=5.0),)), Rule(to="b", when=lambda asked: asked.id == "x")]
    route = two(rules=rules)

    async def work() -> None:
        assert await who(route, [[6.0]]) == "b"
        assert await who(route, [[1.0]]) == "a"
        assert await who(route, [[1.0]], id="x") == "b"

    run(route, work)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (DataRule(column="petal_lenght", below=1), "'petal_lenght'; did you mean 'petal_length'"),
        (DataRule(column=2, below=1), "column .* '2'"),
        (DataRule(column=-1, below=1), "column .* '-1'"),
        (DataRule(column=0, input="x", below=1), "input .* 'x'"),
    ],
)
def test_a_rule_on_a_column_that_no_model_has_ends_the_start(one: DataRule, words: str) -> None:
    parts = {name: CountingModel(name, fields=("petal_length", "petal_width")) for name in ("a", "b")}

    async def work() -> None:
        pytest.fail("it started")

    with pytest.raises(UnknownName, match=words):
        run(Route(parts, rules=[Rule(to="b", data=(one,))], default="a"), work)


def test_without_a_default_what_meets_no_rule_is_not_found() -> None:
    route = two(default=None)

    async def work() -> None:
        with pytest.raises(NotFound, match="no rule of 'route' chooses a model for this request"):
            await route.predict(request([[1.0]]))
        with pytest.raises(NotFound):
            route.describe(request([[1.0]]).context)

    run(route, work)


def test_a_rule_that_fails_is_an_internal_error_and_one_that_refuses_is_its_refusal() -> None:
    def broken(_: Any) -> bool:
        raise SystemExit(3)

    def refusing(_: Any) -> bool:
        raise InvalidInput("say which")

    for when, kind in ((broken, InternalError), (refusing, InvalidInput)):
        route = two(rules=[Rule(to="b", when=when)])

        async def work(route: Route = route, kind: Any = kind) -> None:
            with pytest.raises(kind):
                await route.predict(request([[1.0]]))

        run(route, work)


def test_a_rule_may_give_its_part_less_time_than_the_caller_has() -> None:
    slow = SlowModel("b", seconds=60)
    rules = [Rule(to="b", headers={"target": "mountain"}, timeout=0.02)]
    route = Route({"a": CountingModel("a"), "b": slow}, rules=rules, default="a")

    async def work() -> None:
        with pytest.raises(DeadlineExceeded, match=r"within 0\.02 s"):
            await who(route, headers={"target": "mountain"})
        assert (slow.running, slow.cancelled) == (0, 1)
        assert slow.requests[0].deadline is not None

    run(route, work)


def test_it_reads_the_headers_of_its_rules() -> None:
    assert two(rules=[Rule(to="b", headers={"X-Tenant": "t"}), MOUNTAIN]).reads_headers == ("x-tenant", "target")


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"rules": []}, CompositionError, "at least one rule"),
        ({"rules": [Rule(to="bb", parameters={"k": 1})]}, UnknownName, "did you mean 'b'"),
        ({"default": "c"}, UnknownName, "there is a, b"),
        ({"rules": [Rule(to="b")]}, CompositionError, "has no condition"),
    ],
)
def test_what_cannot_be_composed_is_refused(options: dict[str, Any], kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        two(**options)


def test_parts_that_take_different_inputs_are_refused_at_the_start() -> None:
    route = Route({"a": CountingModel(fields=("x",)), "b": CountingModel()}, rules=[MOUNTAIN])

    async def work() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(CompositionError, match=r"must take the same inputs: 'a' takes input FP32\[-1, 1\], 'b' takes"):
        run(route, work)


def test_rules_may_be_in_a_file_which_may_say_the_default(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("default: a\nrules: [{to: b, headers: {target: mountain}}]")
    route = two(rules=file, default=None)

    async def work() -> None:
        assert await who(route) == "a"
        assert await who(route, headers={"target": "mountain"}) == "b"

    run(route, work)
    with pytest.raises(CompositionError, match="is given twice"):
        two(rules=str(file), default="b")


class Absent(CountingModel):
    """Elsewhere, and not there yet."""

    @property
    def metadata(self) -> Any:
        raise NotStarted(self.name)

    async def predict(self, asked: Any) -> Any:
        raise NotStarted(self.name)


def test_a_part_that_is_away_fails_those_alone_whom_the_rules_send_there() -> None:
    route = Route({"a": Absent("a"), "b": CountingModel("b")}, rules=[MOUNTAIN], default="a")

    async def work() -> None:
        assert route.health().ready
        assert "a cannot answer yet" in route.health().reason
        assert route.metadata.name == "route"
        assert await who(route, headers={"target": "mountain"}) == "b"
        with pytest.raises(NotStarted):
            await who(route)

    run(route, work)


def test_over_http_every_question_about_the_model_follows_the_rules() -> None:
    class Ill(CountingModel):
        async def check(self) -> Any:
            from mlpatterns import Health

            return Health(False, "it is ill")

    route = Route(
        {"a": CountingModel("a", labels=("low",)), "b": Ill("b", version="2", labels=("high",))},
        rules=[MOUNTAIN], default="a",
    )  # fmt: skip

    async def work() -> None:
        there = {"target": "mountain"}
        async with client(route) as http:
            assert (await http.get("/label")).json() == {"0": "low"}
            assert (await http.get("/label", headers=there)).json() == {"0": "high"}
            assert (await http.get("/predict/test/label")).json() == {"prediction": "low"}
            test = await http.get("/predict/test/label", headers=there)
            assert (test.json(), test.headers["x-mlp-route"]) == ({"prediction": "high"}, "b")
            assert (await http.get("/health/pred")).json() == {"health": "ok"}
            assert (await http.get("/health/pred", headers=there)).json() == {"health": "ng"}
            posted = await http.post("/predict/label", json={"data": [[1.0]]}, headers=there)
            assert posted.json() == {"prediction": "high"}

    asyncio.run(work())


def test_over_http_what_no_rule_is_for_is_a_404() -> None:
    async def work() -> None:
        async with client(two(default=None)) as http:
            for path in ("/label", "/metadata", "/predict/test", "/health/pred"):
                answer = await http.get(path)
                assert (answer.status_code, "no default" in answer.json()["error"]) == (404, True)
            assert (await http.post("/predict", json={"data": [[1.0]]})).status_code == 404

    asyncio.run(work())


def test_an_error_of_the_part_is_the_callers() -> None:
    route = Route(
        {"a": FlakyModel("a", error=InvalidInput("no"))}, rules=[Rule(to="a", parameters={"k": 1})], default="a"
    )

    async def work() -> None:
        with pytest.raises(InvalidInput, match=r"^no$"):
            await who(route)

    run(route, work)
