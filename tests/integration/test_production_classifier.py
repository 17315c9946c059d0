"""The example as its owner has it: installed from the wheel, trained, tested and served in its own environment."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from integration.installed import REPOSITORY, Installed

pytestmark = [pytest.mark.integration, pytest.mark.slow]


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
