"""The wheel: what is in it, and that it does the main job where there is nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from integration.installed import REPOSITORY, Installed
from mlpatterns.catalog import systems

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.heavy]

SETOSA = {"data": [[5.1, 3.5, 1.4, 0.2]]}
TRAIN = ("sklearn", "skl2onnx", "onnx", "scipy")
EXTRAS = (*TRAIN, "sqlalchemy", "alembic", "fastapi", "httpx", "PIL")
# The command line where the modules named first cannot be imported, as if they were not installed.
WITHOUT = """
import sys

absent = sys.argv.pop(1).split(",")

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import mlpatterns
for name in mlpatterns.__all__:
    getattr(mlpatterns, name)
from mlpatterns.cli import main
sys.exit(main(sys.argv[1:]))
"""


def without(*modules: str) -> tuple[str, ...]:
    return ("python", "-c", WITHOUT, ",".join(modules))


@pytest.fixture(scope="module")
def contents(installed: Installed) -> set[str]:
    with zipfile.ZipFile(installed.wheel) as wheel:
        return set(wheel.namelist())


@pytest.fixture(scope="module")
def home(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home, away from the source tree, where iris_sklearn_svc is trained."""
    home = tmp_path_factory.mktemp("home")
    done = installed.run("mlpatterns", "train", "iris_sklearn_svc", cwd=home, MLPATTERNS_HOME=str(home))
    assert done.returncode == 0, done.stderr
    return home


def test_it_holds_every_file_of_the_package_and_nothing_else(contents: set[str]) -> None:
    source = REPOSITORY / "src"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    expected = {name for name in files if "__pycache__" not in name}
    packed = {name for name in contents if ".dist-info/" not in name}
    assert packed == expected
    assert {"mlpatterns/py.typed", "mlpatterns/__init__.pyi", "mlpatterns/patterns/catalog.toml"} <= packed
    assert "mlpatterns/model_db/migrations/versions/0001_model_db.py" in packed


def test_it_carries_its_licence_and_its_command(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        (licence,) = [name for name in wheel.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        assert wheel.read(licence) == (REPOSITORY / "LICENSE").read_bytes()
        (commands,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
        assert b"mlpatterns = mlpatterns.__main__:main" in wheel.read(commands)


def test_installed_it_lists_every_system(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("mlpatterns", "list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [system.name for system in systems()]


def test_installed_it_trains_serves_and_answers(installed: Installed, home: Path) -> None:
    with installed.serving("mlpatterns", "run", "web_single", cwd=home, MLPATTERNS_HOME=str(home)) as server:
        status, answer = server.ask("/predict", SETOSA)
        assert status == 200
        assert list(answer) == ["prediction"]
        assert answer["prediction"] == pytest.approx([0.968, 0.029, 0.003], abs=0.02)
        assert server.ask("/predict/label", SETOSA) == (200, {"prediction": "setosa"})
        assert server.stop() == 0


def test_installed_the_demo_holds(installed: Installed, home: Path) -> None:
    done = installed.run("mlpatterns", "demo", "web_single", cwd=home, MLPATTERNS_HOME=str(home))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "claims hold" in done.stdout


def test_it_writes_nothing_outside_of_its_home(installed: Installed, home: Path, tmp_path: Path) -> None:
    done = installed.run("mlpatterns", "demo", "web_single", cwd=tmp_path, MLPATTERNS_HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_extras_every_public_name_is_there_and_the_systems_are_listed(
    installed: Installed, tmp_path: Path
) -> None:
    done = installed.run(*without(*EXTRAS), "list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "web_single" in done.stdout


@pytest.mark.parametrize(("absent", "extra"), [(TRAIN, "train"), (EXTRAS, "registry")])
def test_training_without_its_extra_is_one_sentence_that_names_it(
    installed: Installed, tmp_path: Path, absent: tuple[str, ...], extra: str
) -> None:
    done = installed.run(*without(*absent), "train", "iris_sklearn_svc", cwd=tmp_path)
    sentences = [line for line in done.stderr.splitlines() if not line.startswith("[")]  # without the progress
    assert done.returncode == 1
    assert len(sentences) == 1
    assert sentences[0].startswith("mlpatterns: ")
    assert extra in sentences[0].partition("pip install 'mlpatterns[")[2].partition("]'")[0]


def test_without_extras_a_trained_model_is_served(installed: Installed, home: Path) -> None:
    command = (*without(*EXTRAS), "run", "web_single")
    with installed.serving(*command, cwd=home, MLPATTERNS_HOME=str(home)) as server:
        assert server.ask("/predict/label", SETOSA) == (200, {"prediction": "setosa"})
        assert server.stop() == 0
