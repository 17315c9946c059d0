"""What a piece adds around a model.

*Claim.* In process, a piece that creates no task adds at most 3 us to a prediction (Pipeline for each stage, Limit,
Service), one that decides something at most 5 us (CircuitBreaker, Fallback, Retry, Route), and FanOut and Thresholds,
which make a task for each part, at most 15 us a part. PredictionCache answers what it knows in
at most 15 us, all told.

*Method.* Under uvloop, `await piece.predict(request)` in batches of 2,000 calls around a predictor that answers at once
with a prepared response, in turn with the same number of calls of that predictor alone. The difference of the two,
for one call and one stage or part; the median over the batches. A hit of the cache asks no predictor, so nothing is
taken off; a miss is one whose answer is too large to keep, with the digest of the question and the task that it takes.

*Why it is fair.* The predictor has an identity and a version, as a real model has, so that the pieces have to combine
them. Service is given another name than the model's, so that it has to rename the answer. The pieces are started by
`running`, with the metrics and the clock of a real app. The time for the inner calls is taken off: it is the model's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import numpy as np
import uvloop

from benchmarks.records import Goal, Plan, Report, Table
from mlpatterns import (
    BasePredictor,
    CircuitBreaker,
    Context,
    Fallback,
    FanOut,
    InferenceRequest,
    InferenceResponse,
    Limit,
    ModelMetadata,
    Pipeline,
    PredictionCache,
    Predictor,
    Retry,
    Route,
    Rule,
    Service,
    Settings,
    Shadow,
    Split,
    TensorSpec,
    Thresholds,
    running,
)

__all__ = ["run"]

CALLS = 2000
BATCHES_A_REPEAT = 15
SPEC = TensorSpec("rows", "FP32", (-1, 4))


class Instant(BasePredictor):
    """Answers at once with an answer made before."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._answer = InferenceResponse({"rows": np.zeros((1, 4), np.float32)}, name, "1", f"digest of {name}")

    @property
    def metadata(self) -> ModelMetadata:
        return ModelMetadata(self.name, "1", "benchmark", (SPEC,), (SPEC,), "rows")

    def identity(self) -> str | None:
        return self._answer.identity

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return self._answer


class Case(BasePredictor):
    """A piece, how many predictions are made inside it (its cost is divided by as many), and the goal in us."""

    def __init__(self, name: str, piece: Predictor, count: int, goal: float) -> None:
        super().__init__(name, {"piece": piece})
        self.piece, self.count, self.goal = piece, count, goal


def cases() -> list[Case]:
    def several(count: int) -> list[Predictor]:
        return [Instant(f"model_{number}") for number in range(count)]

    def parts(count: int) -> FanOut:
        return FanOut({part.name: part for part in several(count)})

    rule = Rule(to="model", headers={"target": "mountain"})
    return [
        Case("Limit", Limit(Instant("model"), max_concurrency=8), 1, 3),
        Case("Service", Service("another", Instant("model")), 1, 3),
        Case("Pipeline of 1, a stage", Pipeline(*several(1)), 1, 3),
        Case("Pipeline of 2, a stage", Pipeline(*several(2)), 2, 3),
        Case("Pipeline of 3, a stage", Pipeline(*several(3)), 3, 3),
        Case("CircuitBreaker", CircuitBreaker(Instant("model")), 1, 5),
        Case("Fallback, not needed", Fallback(Instant("model"), Instant("other")), 1, 5),
        Case("Retry, not needed", Retry(Instant("model")), 1, 5),
        Case("Route, by a header", Route({"model": Instant("model")}, rules=[rule], default="model"), 1, 5),
        Case("Split", Split({part.name: part for part in several(2)}), 1, 5),
        Case("Shadow", Shadow(Instant("model"), Instant("next"), sink="memory://"), 1, 10),
        Case("Thresholds of 4, a part", Thresholds({f"m{n}": Instant(f"m{n}") for n in range(4)}), 4, 15),
        Case("FanOut of 2, a part", parts(2), 2, 15),
        Case("FanOut of 4, a part", parts(4), 4, 15),
        Case("FanOut of 8, a part", parts(8), 8, 15),
        Case("PredictionCache, a hit in all", PredictionCache(Instant("model")), 0, 15),
        Case("PredictionCache, a miss", PredictionCache(Instant("unkept"), max_entry_bytes=1), 1, 60),
    ]


def run(plan: Plan, folder: Path) -> Report:
    """Every case, its batches in turn with those of the predictor alone."""
    added = uvloop.run(_measure(plan))
    goals, rows = [], []
    for case in cases():
        found = added[case.name]
        middle = median(found)
        low, _, high = quantiles(found, n=4) if len(found) > 1 else (middle, middle, middle)
        rows.append((case.name, f"{middle:.2f}", f"{low:.2f}–{high:.2f}"))
        goals.append(Goal(f"{case.name}, added", f"<= {case.goal:.0f} us", f"{middle:.2f} us", middle <= case.goal))
    table = Table("microseconds added to a prediction, in process", ("piece", "median", "quartiles"), tuple(rows))
    return Report(goals=tuple(goals), tables=(table,), raw={"added_us": added})


async def _measure(plan: Plan) -> Mapping[str, list[float]]:
    calls = 200 if plan.quick else CALLS
    alone, all_cases = Instant("model"), cases()
    added: dict[str, list[float]] = {case.name: [] for case in all_cases}
    async with running(alone, *all_cases, settings=Settings()):
        for number in range(1 + plan.repeats * BATCHES_A_REPEAT):
            for case in all_cases:
                inner = await _seconds(alone, calls)
                whole = await _seconds(case.piece, calls)
                if number:  # the first batch warms up
                    added[case.name].append(1e6 * (whole - case.count * inner) / calls / max(1, case.count))
    return added


async def _seconds(predictor: Predictor, calls: int) -> float:
    request = InferenceRequest({"rows": np.zeros((1, 4), np.float32)}, Context("0"), deadline=perf_counter() + 3600)
    predict: Callable[[InferenceRequest], object] = predictor.predict
    began = perf_counter()
    for _ in range(calls):
        await predict(request)  # type: ignore[misc]
    return perf_counter() - began
