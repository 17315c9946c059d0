"""The distribution of tests among processes, their order, and the S3 server that the tests of a process share.

The tests of a file run in one process, and so do all tests that need the installed wheel, or the MLflow server. Only a
file with very many tests is split. Fast tests run first, so that a mistake shows early. Then follow the longest files
and those with the most slow tests, so that none of these is left to one process at the end. The tests marked `alone`
run last, without other tests in parallel.
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

DEAR = ("installed", "mlflow_uri")  # fixtures whose setup takes up to a minute, so that it should run once
FAST = ("tests/unit/", "tests/contracts/", "tests/fuzz/")
# Files with many tests that are not marked slow, but take minutes together.
LONG = ("tests/integration/test_benchmarks.py", "tests/integration/test_cli.py")
PART = 700  # the most tests of one file that run in one process; only the tests of all pairs of pieces exceed it

# The time of an example depends on the load of the machine, so no test may fail because of it.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure() -> None:
    """Restores SIGINT for tests of Ctrl-C: background jobs of a shell ignore it, and so would their children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before the hook of xdist, which reads the marks
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
    """The group of a test that is marked `alone` or uses an expensive fixture; None for other tests."""
    if item.get_closest_marker("alone"):
        return ALONE
    return next((name for name in DEAR if name in getattr(item, "fixturenames", ())), None)


@pytest.hookimpl(optionalhook=True)  # the hook exists only if xdist is used
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> AloneAtTheEnd | None:
    if config.getoption("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False  # xdist must not change the order above
    return AloneAtTheEnd(config, log)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A server that all tests of a process share. A test must not stop it."""
    from s3_server import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def s3_bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket; environment variables contain the endpoint and credentials."""
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3.bucket()}"
