"""OutlierCheck: the model's own answer, and beside it what the detector makes of each row."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from mlpatterns import OutlierCheck
from mlpatterns.errors import InternalError, Unavailable
from mlpatterns.predictor import InferenceRequest, InferenceResponse
from mlpatterns.runtime import running
from mlpatterns.settings import Settings
from mlpatterns.testing import CountingModel, FlakyModel, request
from mlpatterns.user_errors import CompositionError

SETTINGS = Settings(control="memory://", outlier_lower_threshold=3.0)


def beside(detector: CountingModel, **options: Any) -> OutlierCheck:
    return OutlierCheck(CountingModel("model"), detector=detector, **options)


def ask(check: OutlierCheck, rows: Any, **fields: Any) -> InferenceResponse:
    async def main() -> InferenceResponse:
        async with running(check, settings=SETTINGS):
            asked = request(rows, **fields)
            response = await check.predict(asked)
            assert [note.path for note in asked.context.notes if note.key == "ms"] == ["model/model", "model/outlier"]
            return response

    return asyncio.run(main())


def flags(response: InferenceResponse) -> list[bool]:
    found: list[bool] = response.outputs["is_outlier"].tolist()
    return found


def test_a_row_is_an_outlier_where_its_score_is_below_the_setting() -> None:
    answer = ask(beside(CountingModel("detector")), [[2.9], [3.0], [np.nan], [9.0]])
    assert flags(answer) == [True, False, True, False]
    assert answer.outputs["outlier_score"].dtype == np.float32
    assert answer.outputs["outlier_score"][[1, 3]].tolist() == [3.0, 9.0]
    assert answer.outputs["probabilities"].shape == (4, 1)


def test_a_threshold_of_its_own_comes_before_the_setting_and_is_part_of_what_decides_the_answer() -> None:
    checks = [
        OutlierCheck(CountingModel("model"), detector=CountingModel("d"), threshold=limit) for limit in (None, 0.0, 5.0)
    ]
    answers = [ask(check, [[4.0]]) for check in checks]
    assert [flags(answer) for answer in answers] == [[False], [False], [True]]
    assert len({answer.identity for answer in answers}) == 3


def test_the_answer_is_of_the_version_of_the_model() -> None:
    answer = ask(OutlierCheck(CountingModel("model", version="7"), detector=CountingModel("d", version="2")), [[1.0]])
    assert (answer.model_name, answer.model_version) == ("model", "7")


@pytest.mark.parametrize("outputs", [("is_outlier",), ("outlier_score", "probabilities"), ("probabilities",)])
def test_the_outputs_asked_for_are_given(outputs: tuple[str, ...]) -> None:
    answer = ask(beside(CountingModel("detector")), [[1.0]], outputs=outputs)
    assert tuple(answer.outputs) == outputs


def test_a_detector_that_fails_is_named() -> None:
    with pytest.raises(Unavailable, match="stage 'outlier': the flaky model fails"):
        ask(beside(FlakyModel("detector")), [[1.0]])


def test_a_detector_that_gives_no_score_a_row_is_an_error() -> None:
    class Short(CountingModel):
        def answer(self, request: InferenceRequest) -> InferenceResponse:
            return InferenceResponse({"probabilities": np.zeros((1, 1), np.float32)}, self.name, "1")

    with pytest.raises(InternalError, match="does not give one score for each row"):
        ask(beside(Short("detector")), [[1.0], [2.0]])


def test_parts_that_do_not_fit_refuse_the_start() -> None:
    with pytest.raises(CompositionError, match="must take the same inputs"):
        ask(beside(CountingModel("d", fields=("a", "b"))), [[1.0]])


def test_the_outer_of_two_checks_counts() -> None:
    inner = OutlierCheck(CountingModel("model"), detector=CountingModel("d"), threshold=0.0)
    outer = OutlierCheck(inner, detector=CountingModel("d"), threshold=5.0)

    async def main() -> None:
        async with running(outer, settings=SETTINGS):
            assert [spec.name for spec in outer.metadata.outputs] == ["probabilities", "is_outlier", "outlier_score"]
            assert flags(await outer.predict(request([[4.0]]))) == [True]

    asyncio.run(main())


def test_flags_that_are_not_asked_for_are_noted_for_who_reads_the_log() -> None:
    async def main() -> list[Any]:
        check = beside(CountingModel("detector"))
        async with running(check, settings=SETTINGS):
            asked = [request([[2.9], [9.0]], outputs=outputs) for outputs in (("probabilities",), ("is_outlier",), ())]
            for each in asked:
                await check.predict(each)
            return [[note.value for note in each.context.notes if note.key == "is_outlier"] for each in asked]

    assert asyncio.run(main()) == [[[True, False]], [], []]
