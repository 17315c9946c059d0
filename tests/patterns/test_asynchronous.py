"""asynchronous: its demo holds, its answers are the book's, and each claim fails where it is not kept."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from mlpatterns import InferenceRequest, InferenceResponse, JobQueue, ModelMetadata, Predictor, Wrapper
from mlpatterns.cli import main
from mlpatterns.patterns.serving import asynchronous as pattern
from mlpatterns.pieces.job_queue.operations import JobView, label_or_values
from mlpatterns.testing import client, digit_images, job_ended, until_ready

LATER, KEY, BAD, AT_ONCE, KILLED = (
    "the digits on 100 images that the model has not seen, told later",
    "one key is one job; with another image it is refused",
    "what is no image fails, and says why",
    "10 jobs are accepted while the model works on the first",
    "of 120 jobs accepted while a worker is killed, those done",
)


@pytest.fixture(autouse=True)
def home(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPATTERNS_HOME", str(trained_home))
    monkeypatch.setenv("MLPATTERNS_JOBS", f"sqlite:///{tmp_path}/jobs.db")


class PassThrough(Wrapper):
    """No queue at all."""

    def __init__(self, inner: Predictor, **options: Any) -> None:
        super().__init__(inner, options.get("name"))


class Nameless(JobQueue):
    """Shows another label than the model's."""

    def __init__(self, inner: Predictor, **options: Any) -> None:
        super().__init__(inner, show=self.wrong, **options)

    @staticmethod
    def wrong(response: InferenceResponse, described: ModelMetadata) -> Any:
        return "ten" if described.labels else label_or_values(response, described)


class Keyless(JobQueue):
    """Takes no notice of a key."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        return await super().predict(replace(request, context=replace(request.context, headers={})))


class Silent(JobQueue):
    """Does not say why a job failed."""

    def __init__(self, inner: Predictor, **options: Any) -> None:
        super().__init__(inner, **options)
        shown = self._queries._shown

        def wordless(job: Any) -> dict[str, JobView]:
            return {name: JobView(one.prediction, one.status) for name, one in shown(job).items()}

        self._queries._shown = wordless  # type: ignore[method-assign]


class Eager(JobQueue):
    """Accepts a job when it is done."""

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        response = await super().predict(request)
        await self._jobs.wait(self._queue, response.outputs["job_id"].item(0).decode(), 10)
        return response


class System:
    """In the place of `mlpatterns.testing.process`: a queue that may lose what a killed worker had, or mix it up."""

    def __init__(self, *, loses: bool = False, mixes: bool = False) -> None:
        self.digits = {base64.b64encode(data).decode(): digit for data, digit in digit_images(100)}
        self.loses, self.mixes, self.killed = loses, mixes, False
        self.jobs: dict[str, tuple[str, bool]] = {}

    @asynccontextmanager
    async def __call__(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        transport = httpx.MockTransport(self.answer)
        async with httpx.AsyncClient(transport=transport, base_url="http://system") as http:
            yield SimpleNamespace(http=http, stop=self.stop)

    async def stop(self, number: int) -> None:
        self.killed = True

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            job = str(len(self.jobs))
            image = httpx.Response(200, content=request.content).json()["image_data"]
            self.jobs[job] = "?" if self.mixes else self.digits[image], self.killed
            return httpx.Response(202, json={"job_id": job})
        job = request.url.path.removeprefix("/job/")
        digit, after = self.jobs[job]
        lost = self.loses and not after
        return httpx.Response(200, json={job: {"prediction": "" if lost else digit,
                                               "status": "running" if lost else "done"}})  # fmt: skip


def failing(monkeypatch: pytest.MonkeyPatch, queue: Callable[..., Predictor] = JobQueue, **system: bool) -> set[str]:
    monkeypatch.setattr(pattern, "SEEN", 30)
    monkeypatch.setattr(pattern, "JobQueue", queue)
    monkeypatch.setattr(pattern, "process", System(**system))

    async def ask() -> set[str]:
        async with client(pattern.app) as http:
            failed = [row.claim for row in (await pattern.demo(http)).rows if not row.holds]
            return {claim.replace("on 30 images", "on 100 images") for claim in failed}

    return asyncio.run(ask())


@pytest.mark.slow  # it starts three processes, and kills one
def test_every_claim_holds_with_real_processes_and_the_command_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "asynchronous"]) == 0
    out = capsys.readouterr().out
    assert [claim for claim in (LATER, KEY, BAD, AT_ONCE, KILLED) if claim not in out] == []
    assert out.endswith("asynchronous: all 5 claims hold\n")


@pytest.mark.parametrize(
    ("queue", "claims"),
    [
        (PassThrough, {LATER, KEY, BAD, AT_ONCE}),
        (Nameless, {LATER}),
        (Keyless, {KEY}),
        (Silent, {BAD}),
        (Eager, {AT_ONCE}),
    ],
)
def test_each_claim_fails_where_a_queue_does_not_keep_it(
    queue: Callable[..., Predictor], claims: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(monkeypatch, queue) == claims


@pytest.mark.parametrize("system", [{"loses": True}, {"mixes": True}])
def test_the_claim_of_the_killed_worker_fails_where_jobs_are_lost_or_mixed_up(
    system: Mapping[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert failing(monkeypatch, JobQueue, **system) == {KILLED}


def test_the_answers_are_those_of_the_book_and_more() -> None:
    async def work() -> None:
        async with client(pattern.app) as http:
            await until_ready(http)
            assert (await http.get("/health")).json() == {"health": "ok"}
            assert (await http.get("/label")).json() == [str(digit) for digit in range(10)]
            described = (await http.get("/metadata")).json()
            assert described.pop("prediction_sample")
            assert described == {
                "data_type": "str", "data_structure": "(1,1)", "data_sample": "base64 encoded image file",
                "prediction_type": "str", "prediction_structure": "(1)",
            }  # fmt: skip
            image, digit = digit_images(1)[0]
            body = {"image_data": base64.b64encode(image).decode()}
            for asked in (
                http.post("/predict", json=body),
                http.post("/predict/label", json=body),
                http.get("/predict/test"),
                http.get("/predict/test/label"),
            ):
                answer = await asked
                assert answer.status_code == 202
                assert set(answer.json()) == {"job_id"}
                job = answer.json()["job_id"]
                assert answer.headers["location"] == f"/job/{job}"
                shown = await job_ended(http, job)
                assert shown == {"prediction": digit if answer.request.method == "POST" else "0", "status": "done"}
            unknown = await http.get("/job/f22689")
            assert unknown.status_code == 404
            assert unknown.json() == {"error": "there is no job with this id, or it has expired"}

    asyncio.run(work())


def test_a_server_whose_programs_run_elsewhere_does_not_load_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with client(pattern.app) as http:
            await until_ready(http)
        monkeypatch.setenv("MLPATTERNS_PROGRAMS", "off")
        async with client(pattern.app) as http:
            job = (await http.get("/predict/test")).json()["job_id"]
            assert (await http.get(f"/job/{job}")).json() == {job: {"prediction": "", "status": "queued"}}
            assert "mlpatterns_inference_seconds" not in (await http.get("/metrics")).text

    asyncio.run(work())
