"""JobQueue and its worker: what becomes of a job, who may know of it, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from mlpatterns import (
    CompositionError,
    InferenceRequest,
    InferenceResponse,
    InternalError,
    InvalidInput,
    JobQueue,
    NotStarted,
    Overloaded,
    Predictor,
    Runtime,
    Settings,
    Unavailable,
    running,
)
from mlpatterns.testing import CountingModel, FlakyModel, SlowModel, client, job_ended, request
from mlpatterns.user_errors import UnknownName

ROW = {"data": [[1.0, 2.0]]}
ADMIN = {"authorization": "Bearer secret"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> Path:
    return tmp_path


@asynccontextmanager
async def serving(home: Path, queue: Predictor, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with client(queue, settings=Settings(home=home, admin_token="secret", **settings)) as http:
        yield http


async def begun(http: httpx.AsyncClient, body: Any = ROW, **headers: str) -> str:
    answer = await http.post("/predict", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.005)


async def status(http: httpx.AsyncClient, job: str) -> str:
    return str((await http.get(f"/job/{job}")).json()[job]["status"])


# ---- what becomes of a job ---------------------------------------------------------------------------------------


def test_what_is_shown_is_the_label_or_the_values_or_what_show_makes_of_them(home: Path) -> None:
    async def work(queue: JobQueue, shown: Any) -> None:
        async with serving(home, queue) as http:
            assert await job_ended(http, await begun(http)) == {"prediction": shown, "status": "done"}

    asyncio.run(work(JobQueue(CountingModel(labels=("low",)), queue="a"), "low"))
    asyncio.run(work(JobQueue(CountingModel(), queue="b"), [3.0]))
    by_name = JobQueue(CountingModel(), queue="c", show=lambda response, described: described.name)
    asyncio.run(work(by_name, "counting"))


def test_a_show_that_fails_is_a_500_for_this_job_alone(home: Path) -> None:
    async def work() -> None:
        async with serving(home, JobQueue(CountingModel(), show=lambda response, described: 1 / 0)) as http:
            job = await begun(http)
            await until(lambda: done(http))
            assert (await http.get(f"/job/{job}")).status_code == 500
            assert (await http.get("/queue")).status_code == 200

    async def done(http: httpx.AsyncClient) -> bool:
        figures = (await http.get("/queue")).json()
        return bool(figures["queued"] + figures["running"] == 0)

    asyncio.run(work())


def test_an_error_of_the_request_fails_the_job_at_once_with_its_words(home: Path) -> None:
    model = FlakyModel(error=InvalidInput("the row is odd"))

    async def work() -> None:
        async with serving(home, JobQueue(model)) as http:
            ended = await job_ended(http, await begun(http))
            assert ended == {"prediction": "", "status": "failed", "error": "the row is odd"}
            assert (await http.get("/dead", headers=ADMIN)).json() == {"dead": []}
        assert model.calls == 1

    asyncio.run(work())


@pytest.mark.parametrize("error", [Overloaded("full"), Unavailable("down")])
def test_what_may_pass_is_tried_again_however_often(error: Exception, home: Path) -> None:
    model = FlakyModel(error=error, fails=lambda call: call <= 5)

    async def work() -> None:
        async with serving(home, JobQueue(model, max_attempts=2, backoff=0.005, backoff_most=0.01)) as http:
            assert (await job_ended(http, await begun(http)))["status"] == "done"
        assert model.calls == 6

    asyncio.run(work())


@pytest.mark.parametrize("error", [InternalError("it broke"), RuntimeError("secret"), SystemExit(3), TimeoutError("x")])
def test_a_fault_that_comes_again_makes_a_dead_letter_which_can_be_replayed(error: Any, home: Path) -> None:
    model = FlakyModel(error=error, fails=lambda call: call <= 3)

    async def work() -> None:
        async with serving(home, JobQueue(model, max_attempts=3, backoff=0.005)) as http:
            job = await begun(http)
            said = "it broke" if isinstance(error, InternalError) else "the model failed"
            assert await job_ended(http, job) == {"prediction": "", "status": "failed", "error": said}
            (letter,) = (await http.get("/dead", headers=ADMIN)).json()["dead"]
            assert (letter["id"], letter["code"], letter["attempts"]) == (job, "INTERNAL", 3)
            assert (await http.post("/dead/replay", headers=ADMIN, json={"ids": [job]})).json() == {"replayed": 1}
            assert (await job_ended(http, job))["status"] == "done"
            assert (await http.post("/dead/replay", headers=ADMIN)).json() == {"replayed": 0}

    asyncio.run(work())


def test_an_attempt_that_takes_too_long_ends_and_counts(home: Path) -> None:
    model = SlowModel(seconds=60)

    async def work() -> None:
        async with serving(home, JobQueue(model, max_run=0.05, max_attempts=2, backoff=0.005)) as http:
            ended = await job_ended(http, await begun(http))
            assert ended["error"] == "the job was not finished within its time"
        assert (model.calls, model.cancelled) == (2, 2)

    asyncio.run(work())


def test_a_job_that_is_not_done_in_its_time_is_a_dead_letter(home: Path) -> None:
    async def work() -> None:
        queue = JobQueue(FlakyModel(), job_timeout=0.3, backoff=0.1)
        async with serving(home, queue) as http:
            assert (await job_ended(http, await begun(http)))["status"] == "failed"
            assert len((await http.get("/dead", headers=ADMIN)).json()["dead"]) == 1

    asyncio.run(work())


def test_a_cancelled_job_ends_at_work_and_frees_its_slot(home: Path) -> None:
    model = SlowModel(seconds=60)

    async def work() -> None:
        async with serving(home, JobQueue(model, concurrency=1), lease_seconds=0.9) as http:
            first, second = await begun(http), await begun(http)

            async def at_work() -> bool:
                return model.calls == 1

            await until(at_work)
            for job in (second, first):
                answer = await http.post(f"/job/{job}/cancel")
                assert answer.json() == {job: {"prediction": "", "status": "cancelled"}}
            model.seconds = 0.0
            assert (await job_ended(http, await begun(http)))["status"] == "done"
            assert (model.calls, model.cancelled) == (2, 1)
            assert await status(http, first) == "cancelled"
            assert (await http.post("/job/none/cancel")).status_code == 404

    asyncio.run(work())


def test_a_worker_that_is_told_to_stop_hands_back_what_it_holds(home: Path) -> None:
    async def work() -> None:
        stuck, free = SlowModel(seconds=60), CountingModel()
        async with serving(home, JobQueue(stuck, concurrency=1, queue="q"), lease_seconds=600) as http:
            jobs = [await begun(http) for _ in range(3)]

            async def at_work() -> bool:
                return stuck.calls == 1

            await until(at_work)
        async with serving(home, JobQueue(free, queue="q"), lease_seconds=600) as http:
            for job in jobs:
                assert (await job_ended(http, job))["status"] == "done"

    asyncio.run(work())


def test_no_more_run_at_once_than_slots(home: Path) -> None:
    model = SlowModel(seconds=0.2)

    async def work() -> None:
        async with serving(home, JobQueue(model, concurrency=3)) as http:
            for job in [await begun(http) for _ in range(6)]:
                assert (await job_ended(http, job))["status"] == "done"
        assert model.most_running == 3

    asyncio.run(work())


def test_a_model_that_answers_later_itself_is_refused_in_words(home: Path) -> None:
    async def work() -> None:
        inner = JobQueue(CountingModel(), queue="inner")
        async with serving(home, JobQueue(inner, queue="outer", max_attempts=1)) as http:
            job = await begun(http)
            answer = await http.get(f"/pieces/counting/job/{job}", params={"wait": 20})
            assert "answers later" in answer.json()[job]["error"]

    asyncio.run(work())


# ---- who may know ------------------------------------------------------------------------------------------------


def test_a_job_is_visible_to_its_principal_only(home: Path) -> None:
    keys = {"ann": "a-key", "bob": "b-key"}

    async def work() -> None:
        async with serving(home, JobQueue(CountingModel()), api_keys=keys) as http:
            ann, bob = ({"authorization": f"Bearer {key}"} for key in keys.values())
            job = await begun(http, **ann)
            assert (await http.get(f"/job/{job}?wait=5", headers=ann)).json()[job]["status"] == "done"
            for answer in (
                await http.get(f"/job/{job}?wait=5", headers=bob),
                await http.post(f"/job/{job}/cancel", headers=bob),
            ):
                assert answer.status_code == 404
                assert answer.json() == {"error": "there is no job with this id, or it has expired"}
            assert (await http.get(f"/job/{job}")).status_code == 401
            first = await begun(http, **ann, **{"idempotency-key": "k"})
            assert await begun(http, **bob, **{"idempotency-key": "k"}) != first

    asyncio.run(work())


def test_dead_letters_are_for_who_has_the_token(home: Path) -> None:
    async def work() -> None:
        async with serving(home, JobQueue(CountingModel())) as http:
            assert (await http.get("/dead")).status_code == 401
            assert (await http.post("/dead/replay")).status_code == 401
            assert (await http.get("/dead?limit=0", headers=ADMIN)).status_code == 400
            assert (await http.get("/dead?limit=many", headers=ADMIN)).status_code == 400
            assert (await http.post("/dead/replay", headers=ADMIN, json={"ids": "a"})).status_code == 400

    asyncio.run(work())


# ---- what is refused ---------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_before_it_is_queued(home: Path) -> None:
    async def work() -> None:
        queue = JobQueue(CountingModel(fields=("a", "b")), max_payload_bytes=2000)
        async with serving(home, queue) as http:
            assert (await http.post("/predict", json={"data": [["x", 1]]})).status_code == 400
            assert (await http.post("/predict", json={"data": [[1.0, 2.0]] * 1000})).status_code == 413
            for key in ("", "k" * 256):
                refused = await http.post("/predict", json=ROW, headers={"idempotency-key": key})
                assert refused.status_code == 400
                assert "idempotency-key" in refused.json()["error"]
            body = {"inputs": [{"name": "input", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
            assert (await http.post("/v2/models/counting/infer", json=body)).status_code == 400
            assert (await http.get("/queue")).json()["queued"] == 0

    asyncio.run(work())


def test_a_full_queue_is_a_503_that_says_when_to_come_again(home: Path) -> None:
    async def work() -> None:
        async with serving(home, JobQueue(SlowModel(seconds=60), max_queued=2)) as http:
            for _ in range(2):
                await begun(http)
            answer = await http.post("/predict", json=ROW)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.headers["x-mlp-code"] == "OVERLOADED"
            assert 'mlpatterns_jobs_refused_total{piece="slow",reason="full"} 1' in (await http.get("/metrics")).text

    asyncio.run(work())


@pytest.mark.parametrize("wait", ["soon", "-1", "nan"])
def test_a_wait_that_is_no_number_of_seconds_is_a_400(wait: str, home: Path) -> None:
    async def work() -> None:
        async with serving(home, JobQueue(SlowModel(seconds=60))) as http:
            job = await begun(http)
            answer = await http.get(f"/job/{job}", params={"wait": wait})
            assert answer.status_code == 400
            assert "wait" in answer.json()["error"]
            assert (await http.get(f"/job/{job}", params={"wait": [1, 2]})).status_code == 400

    asyncio.run(work())


def test_a_wait_ends_before_the_request_does(home: Path) -> None:
    async def work() -> None:
        async with serving(home, JobQueue(SlowModel(seconds=60)), request_timeout=0.5) as http:
            job = await begun(http)
            answer = await http.get(f"/job/{job}", params={"wait": 1e9})
            assert answer.status_code == 200
            assert answer.json()[job]["status"] in ("queued", "running")

    asyncio.run(work())


def test_without_a_worker_that_ever_was_it_is_not_ready_and_says_why(home: Path) -> None:
    queue = JobQueue(CountingModel())

    async def work() -> None:
        async with serving(home, queue, programs="off") as http:
            assert (await http.post("/predict", json=ROW)).status_code == 503
            ready = await http.get("/health/ready")
            assert ready.status_code == 503
            assert "no worker of its queue has reported the metadata" in ready.text
        with pytest.raises(NotStarted):
            _ = queue.metadata

    asyncio.run(work())


def test_a_store_that_is_down_refuses_jobs_and_says_so(home: Path) -> None:
    async def work() -> None:
        async with serving(home, JobQueue(CountingModel())) as http:
            await begun(http)
        for file in home.glob("jobs.db*"):
            file.unlink()
        (home / "jobs.db").mkdir()
        async with serving(home, JobQueue(CountingModel())) as http:
            assert (await http.post("/predict", json=ROW)).status_code == 503
            assert "its store does not answer" in (await http.get("/health/ready")).text
            assert (await http.get("/job/x")).status_code == 503

    asyncio.run(work())


@pytest.mark.parametrize("option", ["concurrency", "max_run", "ttl", "max_queued", "backoff", "max_payload_bytes"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_an_option_that_makes_no_sense_is_refused_at_construction(option: str, value: float) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(CompositionError, match=option):
        JobQueue(CountingModel(), **options)


# ---- the rest ----------------------------------------------------------------------------------------------------


def test_a_probe_gets_an_id_and_is_not_queued(home: Path) -> None:
    async def work() -> None:
        async with serving(home, JobQueue(CountingModel())) as http:
            assert (await http.get("/metadata")).json()["prediction_type"] == "str"
            assert 'mlpatterns_jobs_queued_total{piece="counting"} 0' in (await http.get("/metrics")).text

    asyncio.run(work())


def test_over_the_open_inference_protocol_the_answer_is_a_job_id_and_the_word_accepted(home: Path) -> None:
    async def work() -> None:
        async with serving(home, JobQueue(CountingModel())) as http:
            body = {"inputs": [{"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
            answer = await http.post("/v2/models/counting/infer", json=body)
            assert answer.status_code == 200
            assert answer.json()["parameters"]["status"] == "accepted"
            (output,) = answer.json()["outputs"]
            assert (output["name"], output["datatype"], output["shape"]) == ("job_id", "BYTES", [1])
            assert (await job_ended(http, output["data"][0]))["prediction"] == [3.0]
            asked = await http.post("/v2/models/counting/infer", json={**body, "outputs": [{"name": "probabilities"}]})
            assert asked.status_code == 400

    asyncio.run(work())


def test_who_asked_and_with_what_reaches_the_model_but_the_callers_deadline_does_not(home: Path) -> None:
    model = CountingModel()

    async def work() -> None:
        async with serving(home, JobQueue(model, max_run=100.0), api_keys={"ann": "key"}) as http:
            headers = {"authorization": "Bearer key", "user-id": "u", "x-request-timeout-ms": "2000"}
            job = await begun(http, **headers)
            await http.get(f"/job/{job}?wait=5", headers=headers)
        (seen,) = model.requests
        assert (seen.context.principal, seen.context.headers["user-id"]) == ("ann", "u")
        assert seen.context.prediction_id == job
        assert seen.deadline is not None
        assert seen.deadline - asyncio.get_running_loop().time() > 50

    asyncio.run(work())


def test_a_new_model_of_the_workers_is_described_anew(home: Path) -> None:
    async def work() -> None:
        server = JobQueue(CountingModel(), queue="q")
        async with serving(home, JobQueue(CountingModel(version="1"), queue="q")):
            pass
        async with serving(home, server, programs="off"):
            assert server.metadata.version == "1"
            async with serving(home, JobQueue(CountingModel(version="2"), queue="q")):

                async def newer() -> bool:
                    return server.metadata.version == "2"

                await until(newer)

    asyncio.run(work())


def test_it_takes_part_in_a_composition_without_its_server(home: Path) -> None:
    class Double(CountingModel):
        def answer(self, asked: InferenceRequest) -> InferenceResponse:
            return super().answer(asked)

    async def work() -> None:
        model = Double()
        queue = JobQueue(model)
        async with running(queue, settings=Settings(home=home)) as runtime:
            await runtime.run_programs([(queue.name, queue)])
            await runtime.wait_for_descriptions([(queue.name, queue)])
            response = await queue.predict(request([[1.0]]))
            assert (response.status, list(response.outputs)) == ("accepted", ["job_id"])
            assert isinstance(response.outputs["job_id"].item(), bytes)
            assert response.outputs["job_id"].dtype == np.dtype(object)

    asyncio.run(work())


def test_health_says_that_the_worker_fails_while_it_is_waited_for(home: Path) -> None:
    class Missing(CountingModel):
        async def start(self, runtime: Runtime) -> None:
            raise UnknownName("model", "tulips")

    async def work() -> None:
        async with serving(home, JobQueue(Missing(), queue="q")) as http:
            while "trouble" not in (said := (await http.get("/health/ready")).json()):
                await asyncio.sleep(0.01)
        assert said["ready"] is False
        assert "no worker of its queue has reported the metadata" in said["error"]
        assert "fails and is started anew" in said["trouble"]["programs"]

    asyncio.run(asyncio.wait_for(work(), 5))


def test_a_worker_whose_model_is_not_there_claims_nothing(home: Path) -> None:
    class Late(CountingModel):
        there = False

        async def start(self, runtime: Runtime) -> None:
            await super().start(runtime)

        @property
        def metadata(self) -> Any:
            if not self.there:
                raise NotStarted(self.name)
            return super().metadata

    async def work() -> None:
        async with serving(home, JobQueue(CountingModel(), queue="q")):
            pass
        late = Late()
        async with serving(home, JobQueue(late, queue="q")) as http:
            job = await begun(http)
            await asyncio.sleep(0.1)
            assert await status(http, job) == "queued"
            late.there = True
            assert (await job_ended(http, job))["status"] == "done"

    asyncio.run(work())
