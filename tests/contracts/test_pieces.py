"""The rules of composition, tested on every piece around every other piece around a model."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

import mlpatterns
from contracts.pieces import ENTRIES, LATER_PAIRS, PAIRS, REFUSED, ByCaller, Noting, around, pair, predictor_classes
from mlpatterns.errors import ErrorCode, NotStarted, PredictionError, Unavailable, error_for
from mlpatterns.predictor import InferenceResponse, Predictor, Runtime
from mlpatterns.runtime import running
from mlpatterns.server.pages.openapi_parts import first_words
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FlakyModel, SlowModel, request
from mlpatterns.user_errors import CompositionError, SettingsError

every_pair = pytest.mark.parametrize(("outer", "inner"), PAIRS, ids=["-".join(names) for names in PAIRS])


def run(root: Predictor, work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running(root, settings=Settings()):
            await work()

    asyncio.run(main())


def below(root: Predictor) -> Iterator[Predictor]:
    yield root
    for child in root.children.values():
        yield from below(child)


def primary(root: Predictor, response: InferenceResponse) -> np.ndarray:
    return response.outputs[root.metadata.primary_output]


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_an_operation_takes_nothing_that_it_does_not_know(name: str) -> None:
    """A misspelt name must not be ignored: the default may be another request, such as all dead letters."""
    loose = [
        operation.name
        for piece in below(around(name, CountingModel()))
        for operation in piece.operations
        for info in _records(msgspec.inspect.type_info(operation.input))
        if not info.forbid_unknown_fields
    ]
    assert loose == []


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_an_operation_says_in_its_docstring_what_it_does(name: str) -> None:
    """The API documentation shows only this sentence."""
    told = {
        operation.name: first_words(operation.handler)
        for piece in below(around(name, CountingModel()))
        for operation in piece.operations
    }
    assert [operation for operation, words in told.items() if not words.endswith(".")] == []


def _records(info: msgspec.inspect.Type) -> Iterator[msgspec.inspect.StructType]:
    if isinstance(info, msgspec.inspect.StructType):
        yield info
    for part in getattr(info, "types", ()) or filter(None, [getattr(info, "item_type", None)]):
        yield from _records(part)


@pytest.mark.parametrize(("name", "piece"), list(predictor_classes()))
def test_every_piece_is_registered(name: str, piece: type) -> None:
    assert name in ENTRIES, (
        f"the laws do not know how to build {name}: put `@piece(lambda inner, _: {name}(inner))` above its class"
    )


@pytest.mark.parametrize(("name", "piece"), [found for found in predictor_classes() if found[0] != "Service"])
def test_a_piece_takes_what_it_wraps_first_and_then_options_by_keyword_only(name: str, piece: type) -> None:
    wrapped, *options = list(inspect.signature(piece).parameters.values())
    assert wrapped.kind in (wrapped.POSITIONAL_OR_KEYWORD, wrapped.POSITIONAL_ONLY, wrapped.VAR_POSITIONAL)
    more = (wrapped.VAR_POSITIONAL, wrapped.KEYWORD_ONLY)  # several may be wrapped: stages, a candidate
    assert [each.name for each in options if each.kind not in more and each.annotation != "Predictor"] == []
    assert name in mlpatterns.__all__


@every_pair
def test_an_error_passes_through_with_its_code_and_its_words(outer: str, inner: str) -> None:
    for code in ErrorCode:
        leaf = FlakyModel(error=error_for(code, "these are the words", retry_after=7.0))
        root = pair(outer, inner, leaf)

        async def work(root: Predictor = root, leaf: FlakyModel = leaf, code: ErrorCode = code) -> None:
            with pytest.raises(PredictionError) as caught:
                await root.predict(request([[1.0, 2.0]]))
            assert caught.value.code is code
            assert "these are the words" in str(caught.value)
            assert caught.value.retry_after == 7.0
            assert leaf.running == 0

        run(root, work)


@every_pair
def test_cancellation_reaches_the_model_and_leaves_nothing_running(outer: str, inner: str) -> None:
    leaf = SlowModel(seconds=60.0)
    root = pair(outer, inner, leaf)

    async def work() -> None:
        before = asyncio.all_tasks()
        asking = asyncio.create_task(root.predict(request([[1.0]])))
        while not leaf.running:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert leaf.running == 0
        assert leaf.cancelled == leaf.calls
        assert asyncio.all_tasks() <= before

    run(root, work)


@every_pair
def test_cancellation_waits_for_the_thread_that_cannot_be_stopped(outer: str, inner: str) -> None:
    leaf = SlowModel(seconds=0.01, blocking=True)
    root = pair(outer, inner, leaf)

    async def work() -> None:
        asking = asyncio.create_task(root.predict(request([[1.0]])))
        while not leaf.running:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert leaf.running == 0

    run(root, work)


@every_pair
def test_fifty_at_once_each_get_their_own_answer(outer: str, inner: str) -> None:
    leaf = SlowModel(seconds=0.0)
    root = pair(outer, inner, leaf)

    async def work() -> None:
        answers = await asyncio.gather(*(root.predict(request([[float(i), 0.5], [0.0, i]])) for i in range(50)))
        for i, answer in enumerate(answers):
            assert primary(root, answer).tolist() == [[i + 0.5], [i]]
        assert leaf.running == 0

    run(root, work)


@every_pair
def test_deadline_parameters_and_context_reach_the_model_as_they_are(outer: str, inner: str) -> None:
    leaf = CountingModel()
    root = pair(outer, inner, leaf)
    asked = request([[1.0]], deadline=time.monotonic() + 60, parameters={"k": 1}, headers={"user-id": "u"}, id="x")
    asked.context.purpose = "test"

    async def work() -> None:
        await root.predict(asked)
        for seen in leaf.requests:
            assert seen.deadline == asked.deadline
            assert seen.parameters is asked.parameters
            assert seen.context.purpose == "test"
            if ENTRIES[outer].detaches or ENTRIES[inner].detaches:
                assert (seen.id, dict(seen.context.headers), seen.context.principal) == (None, {}, None)
            else:
                assert replace(seen.context, where="") == asked.context
                assert seen.context.notes is asked.context.notes
                assert seen.id == "x"
        assert asked.context.headers == {"user-id": "u"}

    run(root, work)


@every_pair
def test_a_deadline_that_has_passed_is_a_deadline_error(outer: str, inner: str) -> None:
    root = pair(outer, inner, CountingModel())

    async def work() -> None:
        with pytest.raises(PredictionError) as caught:
            await root.predict(request([[1.0]], deadline=time.monotonic() - 1))
        assert caught.value.code is ErrorCode.DEADLINE

    run(root, work)


@every_pair
def test_the_notes_of_both_arrive_in_order_and_each_under_its_own_path(outer: str, inner: str) -> None:
    """Both for the first request and for one that waited for the same answer."""
    root = Noting(pair(outer, inner, Noting(CountingModel("leaf"), "below")), "above")

    async def work() -> None:
        asked = [request([[1.0]]) for _ in range(2)]
        await asyncio.gather(*(root.predict(each) for each in asked))
        for each in asked:
            notes = [note for note in each.context.notes if note.key in ("asked", "answered")]
            order = [(note.key, note.value) for note in notes]
            assert order[0] == ("asked", "above")
            assert order[-1] == ("answered", "above")
            inside = order[1:-1]
            times = inside.count(("asked", "below"))
            assert sorted(inside) == sorted([("asked", "below"), ("answered", "below")] * times)
            if "hit" in [note.value for note in each.context.notes]:
                assert each is asked[1]  # the first request was answered before the second was sent
            else:
                assert inside[0] == ("asked", "below")
                assert inside[-1] == ("answered", "below")
            assert {note.path for note in notes if note.value == "above"} == {"above"}
            assert all(note.path.startswith("above/inner/") for note in notes if note.value == "below")
            assert all(note.public == (note.key == "answered") for note in notes)

    run(root, work)


@every_pair
def test_what_was_noted_arrives_with_an_error_too(outer: str, inner: str) -> None:
    root = pair(outer, inner, Noting(FlakyModel("leaf"), "below"))

    async def work() -> None:
        asked = [request([[1.0]]) for _ in range(2)]
        ends = await asyncio.gather(*(root.predict(each) for each in asked), return_exceptions=True)
        assert [type(end) for end in ends] == [Unavailable, Unavailable]
        for each in asked:
            assert ("asked", "below") in [(note.key, note.value) for note in each.context.notes]

    run(root, work)


@every_pair
def test_who_asks_decides_in_the_whole_if_it_does_in_a_part(outer: str, inner: str) -> None:
    """A piece that calls its inner predictor in a separate context refuses to start around it; the error says where to
    put it."""
    part = ByCaller(CountingModel())
    root = pair(outer, inner, part)
    assert root.depends_on_caller
    by_caller = ENTRIES[outer].by_caller or ENTRIES[inner].by_caller
    assert pair(outer, inner, CountingModel()).depends_on_caller == by_caller
    detaching = [name for name in (outer, inner) if ENTRIES[name].detaches]

    async def work() -> None:
        assert not detaching
        await root.predict(request([[1.0]], headers={"x-tenant": "t"}))
        assert set(part.tenants) == {"t"}

    if not detaching:
        run(root, work)
        return
    with pytest.raises(CompositionError, match=rf"depends on the caller; put the {detaching[-1]} inside it"):
        run(root, work)


@pytest.mark.parametrize(("outer", "inner"), REFUSED)
def test_what_answers_several_at_once_refuses_what_tells_callers_apart(outer: str, inner: str) -> None:
    root = pair(outer, inner, CountingModel())

    async def work() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(CompositionError, match=rf"depends on the caller; put the {outer} inside it"):
        run(root, work)


@every_pair
def test_identity_is_the_models_own_and_the_same_after_a_restart(outer: str, inner: str) -> None:
    seen: list[str | None] = []

    keyed = ENTRIES[outer].needs_identity or ENTRIES[inner].needs_identity
    for digest in ("a", "a", "b", *(() if keyed else (None,))):
        root = pair(outer, inner, CountingModel(digest=digest))

        async def work(root: Predictor = root) -> None:
            response = await root.predict(request([[1.0]]))
            assert response.identity == root.identity()
            seen.append(root.identity())

        run(root, work)
    first, again, other, *none = seen
    assert first == again != other
    assert first is not None
    assert other is not None
    assert none == ([] if keyed else [None])


@pytest.mark.parametrize(
    ("outer", "inner"), [names for names in PAIRS if any(ENTRIES[name].needs_identity for name in names)]
)
def test_what_needs_an_identity_refuses_to_start_without_one_and_names_who_has_none(outer: str, inner: str) -> None:
    leaf = CountingModel(digest=None)
    root = pair(outer, inner, leaf)

    async def work() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(CompositionError, match=r"'counting'.* has no identity"):
        run(root, work)
    assert (leaf.starts, leaf.stops) == (1, 1)


@every_pair
def test_children_are_there_and_metadata_is_not_before_the_start(outer: str, inner: str) -> None:
    leaf = CountingModel()
    root = pair(outer, inner, leaf)
    assert leaf in below(root)
    for predictor in below(root):
        with pytest.raises(NotStarted):
            _ = predictor.metadata


@every_pair
def test_metadata_tells_what_the_whole_takes_and_gives(outer: str, inner: str) -> None:
    root = pair(outer, inner, CountingModel(labels=("low",)))

    async def work() -> None:
        metadata = root.metadata
        assert metadata.name == root.name
        assert metadata.sample is not None
        response = await root.predict(request(metadata.sample))
        assert set(response.outputs) == {spec.name for spec in metadata.outputs}
        assert metadata.primary_output in response.outputs
        assert response.model_name == metadata.name
        assert response.model_version == metadata.version
        assert metadata.labels == ("low",)

    run(root, work)


@every_pair
def test_the_outputs_asked_for_are_the_outputs_given(outer: str, inner: str) -> None:
    leaf = CountingModel()
    root = pair(outer, inner, leaf)

    async def work() -> None:
        wanted = root.metadata.primary_output
        response = await root.predict(request([[1.0]], outputs=(wanted,)))
        assert list(response.outputs) == [wanted]
        assert {seen.outputs for seen in leaf.requests} == {("probabilities",)}

    run(root, work)


@every_pair
def test_it_starts_and_stops_once_and_again_on_a_new_loop(outer: str, inner: str) -> None:
    leaf = CountingModel()
    root = pair(outer, inner, leaf)

    async def work() -> None:
        assert primary(root, await root.predict(request([[1.0, 1.0]]))).tolist() == [[2.0]]

    for times in (1, 2, 3):
        run(root, work)
        assert (leaf.starts, leaf.stops) == (times, times)
    with pytest.raises(NotStarted):
        _ = root.metadata


@every_pair
def test_a_failed_start_is_unwound(outer: str, inner: str) -> None:
    class Unstartable(CountingModel):
        async def start(self, runtime: Runtime) -> None:
            await super().start(runtime)
            raise SettingsError("the model cannot start")

    leaf = Unstartable()
    root = pair(outer, inner, leaf)

    async def work() -> None:
        raise AssertionError("it must not run")

    with pytest.raises(SettingsError, match="the model cannot start"):
        run(root, work)
    counted = [found for found in below(root) if isinstance(found, CountingModel)]
    assert all(found.starts == found.stops for found in counted)
    assert (leaf.starts, leaf.stops) == (1, 1)


# ---- pieces that answer later: the rules above are about immediate answers ----------------------------------------


every_later_pair = pytest.mark.parametrize(("outer", "inner"), LATER_PAIRS, ids=["-".join(p) for p in LATER_PAIRS])


@every_later_pair
def test_who_asks_decides_where_a_job_is_made_and_what_answers_several_refuses_to_start_around_it(
    outer: str, inner: str, tmp_path: Path
) -> None:
    root = pair(outer, inner, CountingModel())
    assert root.depends_on_caller
    assert root.identity() is None
    if ENTRIES[outer].detaches:
        with pytest.raises(CompositionError, match=rf"depends on the caller; put the {outer} inside it"):
            asyncio.run(_started(root, tmp_path))
    else:
        asyncio.run(_started(root, tmp_path))


@every_later_pair
def test_what_a_worker_asks_is_there_but_starts_with_the_worker_alone(outer: str, inner: str, tmp_path: Path) -> None:
    leaf = CountingModel()
    root = pair(outer, inner, leaf)
    assert leaf in below(root)
    for predictor in below(root):
        with pytest.raises(NotStarted):
            _ = predictor.metadata
    if not ENTRIES[outer].detaches:
        asyncio.run(_started(root, tmp_path))
        assert leaf.starts == leaf.stops == (leaf in started_with(root))


def started_with(root: Predictor) -> Iterator[Predictor]:
    """`root` and all predictors below it, except those in `apart` and below them."""
    yield root
    for key, child in root.children.items():
        if key not in root.apart:
            yield from started_with(child)


async def _started(root: Predictor, home: Path) -> None:
    async with running(root, settings=Settings(home=home)):
        pass
