"""How tests share the processes that run them, in which order they come, and the S3 that they share in each process.

Each file runs in one process, and so do all tests that need one installed wheel, or one server of MLflow; only a file
of very many tests is cut into parts. Fast tests come first, so that a mistake shows early. After them come the longest
files and those with the most slow tests, so that no process is left with one of these at the end; and last of all,
beside nothing else, the tests marked `alone`.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from alone import ALONE, AloneAtTheEnd

if TYPE_CHECKING:
    from s3_server import S3Server

DEAR = ("installed", "mlflow_uri")  # fixtures that take up to a minute to make: once is enough
FAST = ("tests/unit/", "tests/contracts/", "tests/fuzz/")
# Of many tests that are not marked slow (`make chaos` is of faults), but together take minutes.
LONG = ("tests/integration/test_benchmarks.py", "tests/integration/test_cli.py")
PART = 700  # tests of one file that run in one process; only the laws of all pairs of pieces are more

# How long an example takes says how busy the machine is: no test may fail for that.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure() -> None:
    """A shell's job in the background ignores SIGINT, and so would all that it starts: Ctrl-C is tested too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the marks at the same moment
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    found, slow = Counter[str](), Counter[str]()
    groups = dict[pytest.Item, str]()
    for item in items:
        file = item.location[0]
        groups[item] = named_group(item) or f"{file}-{found[file] // PART}"
        found[file] += 1
        slow[groups[item]] += item.get_closest_marker("slow") is not None
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))

    def place(item: pytest.Item) -> tuple[int, int]:
        many = slow[groups[item]]
        if groups[item] == ALONE:
            return 2, 0
        if item.nodeid.startswith(FAST):
            return 0, many
        return 1, 0 if item.nodeid.startswith(LONG) else 1_000 - many

    items.sort(key=place)


def named_group(item: pytest.Item) -> str | None:
    """The group of a test that shares more than its file, or nothing."""
    if item.get_closest_marker("alone"):
        return ALONE
    return next((name for name in DEAR if name in getattr(item, "fixturenames", ())), None)


@pytest.hookimpl(optionalhook=True)  # where xdist is not used there is no scheduler
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> AloneAtTheEnd | None:
    if config.getoption("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False  # the order is ours
    return AloneAtTheEnd(config, log)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A server that all tests of a process share: leave it running."""
    from s3_server import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def s3_bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket; the environment says how to reach it."""
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3.bucket()}"
