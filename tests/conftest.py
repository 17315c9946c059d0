"""How tests share two processes: each file runs in one of them, and so do all that need one installed wheel, or one
server of MLflow.

And the S3 that they share in each: a bucket a test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from s3_server import S3Server

DEAR = ("installed", "mlflow_uri")  # fixtures that take up to a minute to make: once is enough


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the marks at the same moment
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        needed = [name for name in DEAR if name in getattr(item, "fixturenames", ())]
        item.add_marker(pytest.mark.xdist_group(needed[0] if needed else item.location[0]))


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
