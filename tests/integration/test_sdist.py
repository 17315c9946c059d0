"""The source distribution, from which others build and test the package without the repository."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from integration.installed import REPOSITORY, clean

# It is built, and tests run from it that read the documents, the figures and the scripts that measure.
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.heavy]

pytest.importorskip("hatchling", reason="hatchling, which builds the package, is not installed")

READERS = (
    "test_source_layers.py", "test_readme_table.py", "test_benchmark_peers.py", "docs/test_package_page.py",
    "docs/test_make_pictures.py",
)  # fmt: skip


def run(*words: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *words], cwd=cwd, env=clean(environ), text=True, capture_output=True)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    done = run("hatchling", "build", "--target", "sdist", "--directory", str(folder), cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def test_it_holds_all_that_the_repository_has_beside_what_is_made(unpacked: Path) -> None:
    wanted = {"src", "tests", "docs", "benchmarks", "examples", "mkdocs.yml", "Makefile", "CONTRIBUTING.md", "LICENSE"}
    assert wanted - {path.name for path in unpacked.iterdir()} == set()
    assert [path for name in (".venv", ".mlpatterns", "site", ".git") for path in unpacked.rglob(name)] == []


def test_its_tests_run_where_it_is_unpacked(unpacked: Path) -> None:
    tests = [f"tests/unit/{name}" for name in READERS]
    done = run("pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=unpacked, PYTHONPATH=str(unpacked / "src"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
