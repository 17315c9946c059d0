"""Who has no identity: the sentence names who loses it, and where to go instead."""

from __future__ import annotations

import asyncio

import pytest

from mlpatterns import (
    CompositionError,
    FanOut,
    Limit,
    ModelMetadata,
    NotStarted,
    Pipeline,
    Predictor,
    Settings,
    TensorSpec,
    Wrapper,
    running,
)
from mlpatterns.pieces.identity import require_identity
from mlpatterns.testing import CountingModel, SlowModel


class Chance(Wrapper):
    def identity(self) -> str | None:
        return None


class Absent(CountingModel):
    """A remote model that has not answered: no metadata, no identity."""

    @property
    def metadata(self) -> ModelMetadata:
        raise NotStarted(self.name)

    def identity(self) -> str | None:
        return None


def combined(*parts: Predictor) -> FanOut:
    spec = TensorSpec("mean", "FP32", (-1, 1))
    return FanOut({part.name: part for part in parts}, combine=lambda answers: {}, outputs=[spec], name="mean")


def identified(inner: Predictor) -> bool:
    async def main() -> bool:
        async with running(inner, settings=Settings()):
            return require_identity("PredictionCache", inner)

    return asyncio.run(main())


def test_what_has_an_identity_is_fine_and_what_may_get_one_is_not_yet() -> None:
    assert identified(Limit(CountingModel(), max_concurrency=1)) is True
    assert identified(Limit(Absent(), max_concurrency=1)) is False
    assert identified(Pipeline(CountingModel("known"), Absent("absent"))) is False
    assert identified(combined(CountingModel("a"), Absent("b"))) is False  # it may have one for all that is known


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (CountingModel("m", digest=None), "around 'm' cannot know when its answers change, since 'm' has no identity"),
        (Limit(CountingModel("m", digest=None), max_concurrency=1, name="l"), "'m' in 'l' has no identity"),
        (
            combined(CountingModel("a"), SlowModel("b")),
            "around 'mean' would mix up answers, since .*inside it, around 'a', 'b'",
        ),
        (Pipeline(Chance(CountingModel("m"), "split")), "'split' in 'pipeline' answers .*inside it, around 'm'"),
        (Pipeline(Absent("a"), Chance(CountingModel("m"), "split")), "'split' in 'pipeline' answers"),
    ],
)
def test_what_has_none_is_refused_with_the_name_of_who_loses_it(inner: Predictor, words: str) -> None:
    with pytest.raises(CompositionError, match=words):
        identified(inner)
