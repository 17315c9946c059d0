"""The example as its owner has it: installed from the wheel, trained, tested and served in its own environment."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path
from subprocess import DEVNULL, Popen
from time import monotonic

import pytest

from integration.installed import REPOSITORY, Installed, clean

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.heavy]


@pytest.fixture(scope="module")
def project(installed: Installed) -> Path:
    """The example's folder, with its model trained there."""
    done = installed.run("python", "train.py", cwd=installed.project)
    assert done.returncode == 0, done.stderr
    assert "sha256" in done.stdout
    return installed.project


def test_mlpatterns_comes_from_the_wheel_and_not_from_the_source_tree(installed: Installed, project: Path) -> None:
    done = installed.run("python", "-c", "import mlpatterns; print(mlpatterns.__file__)", cwd=project)
    found = Path(done.stdout.strip()).resolve()
    assert found.is_relative_to(installed.commands.parent.resolve())
    assert not found.is_relative_to(REPOSITORY)


def test_the_projects_own_tests_pass_there(installed: Installed, project: Path) -> None:
    done = installed.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout


def test_as_a_real_process_it_reads_a_real_image_and_ends_cleanly(installed: Installed, project: Path) -> None:
    image = b64encode((project / "sample.png").read_bytes()).decode()
    with installed.serving("mlpatterns", "run", "app.py", cwd=project) as server:
        assert server.ask("/predict/label", {"data": image}) == (200, {"prediction": "4"})
        assert server.ask("/predict/label", {"image_data": [image, image]}) == (200, {"prediction": ["4", "4"]})
        status, answer = server.ask("/predict", {"data": [image, image[:64]]})
        assert status == 400
        assert "image 2 of 2" in answer["error"]
        assert server.ask("/label") == (200, list("0123456789"))
        assert server.stop() == 0
    assert "Traceback" not in server.output


def test_served_from_another_folder_and_by_two_workers_it_answers_the_same(
    installed: Installed, project: Path, tmp_path: Path
) -> None:
    image = b64encode((project / "sample.png").read_bytes()).decode()
    with installed.serving("mlpatterns", "run", project / "app.py", "--workers", "2", cwd=tmp_path) as server:
        for _ in range(4):
            assert server.ask("/predict/label", {"data": image}) == (200, {"prediction": "4"})
        assert server.stop() == 0


def test_pinned_to_a_version_it_swaps_the_model_while_it_serves(
    installed: Installed, project: Path, tmp_path: Path
) -> None:
    image = b64encode((project / "sample.png").read_bytes()).decode()
    given = {"MLPATTERNS_HOME": str(tmp_path), "MLPATTERNS_ADMIN_TOKEN": "secret"}
    for seed in ("0", "1"):
        file = tmp_path / f"{seed}.onnx"
        for command in (
            ("python", "train.py", file, seed),
            ("mlpatterns", "registry", "import", file, "--name", "digits", "--no-promote"),
        ):
            done = installed.run(*command, cwd=project, **given)
            assert done.returncode == 0, done.stderr
    serving = ("mlpatterns", "run", "app.py", "--model", "digits:1", "--workers", "2")
    with installed.serving(*serving, cwd=project, **given) as server:
        url = f"http://127.0.0.1:{server.port}"
        answers, probabilities = [], []
        for flags in ((), ("--to", "2"), ("--rollback",)):
            if flags:
                done = installed.run("mlpatterns", "swap", url, *flags, cwd=project, **given)
                assert done.returncode == 0, done.stderr
            pinned = "2" if flags == ("--to", "2") else "1"
            until = monotonic() + 20
            both = rf'mlpatterns_model_version{{piece="[^"]*/model",version="{pinned}"}} 2.0\n'
            while not re.search(both, server.ask("/metrics")[1]):
                assert monotonic() < until, server.ask("/metrics")[1]
            answers.append(server.ask("/predict/label", {"data": image}))
            probabilities.append(server.ask("/predict", {"data": image})[1]["prediction"])
        assert answers == [(200, {"prediction": "4"})] * 3
        assert probabilities[0] == probabilities[2] != probabilities[1]
        assert server.stop() == 0


def test_the_composition_answers_and_loses_no_job_when_a_worker_is_killed(
    installed: Installed, project: Path, tmp_path: Path
) -> None:
    for name, seed in (("challenger", "1"), ("next", "2")):
        done = installed.run("python", "train.py", project / f"{name}.onnx", seed, cwd=project)
        assert done.returncode == 0, done.stderr
    image = b64encode((project / "sample.png").read_bytes()).decode()
    given = {"MLPATTERNS_HOME": str(tmp_path), "MLPATTERNS_LEASE_SECONDS": "1", "MLPATTERNS_PROGRAMS": "off"}
    working = [str(installed.commands / "mlpatterns"), "work", "production.py"]
    workers: list[Popen[bytes]] = []

    def begin_worker() -> None:
        workers.append(Popen(working, cwd=project, env=clean(given), stdout=DEVNULL, stderr=DEVNULL))

    try:
        begin_worker()  # the server is ready once a worker has told what the model takes
        with installed.serving("mlpatterns", "run", "production.py", cwd=project, **given) as server:
            assert server.ask("/models/digits/predict/label", {"data": image}) == (200, {"prediction": "4"})
            jobs = []
            for number in range(60):
                status, accepted = server.ask("/models/digits_later/predict", {"data": image})
                assert status == 202
                jobs.append(accepted["job_id"])
                if number == 30:
                    workers[0].kill()
                    begin_worker()
            answers = [server.ask(f"/job/{job}?wait=25")[1][job] for job in jobs]
            assert answers == [{"prediction": "4", "status": "done"}] * 60
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    done = installed.run("mlpatterns", "log", "production.py", "--json", cwd=project, MLPATTERNS_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert '"role":"shadow"' in done.stdout or '"arm"' in done.stdout
