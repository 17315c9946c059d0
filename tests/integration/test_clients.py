"""Clients that others wrote, against a real server: they are understood, and what they get means what we meant."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.processes import Server, serving

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent
TOKEN = "t0ken"
DATATYPES = [
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
SUMS = [[10.0], [26.0]]
READY = [{"name": name, "version": "1", "state": "READY", "reason": ""} for name in ("echo", "scores")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    shutil.copy(HERE / "app_for_clients.py", tmp_path)
    with serving("app_for_clients.py", cwd=tmp_path, environ={"MLPATTERNS_ADMIN_TOKEN": TOKEN}) as running:
        yield running


def seen_by(client: str, server: Server) -> Any:
    """What the client saw, from a process of its own."""
    command = [sys.executable, str(HERE / "clients.py"), client, str(server.port), TOKEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_tritonclient_over_http_sees_all_of_it(server: Server) -> None:
    seen = seen_by("tritonclient.http", server)
    assert (seen["live"], seen["ready"], seen["model ready"]) == (True, True, [True, False, False])
    assert seen["metadata"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]
    assert seen["config"]["max_batch_size"] > 1
    assert seen["config"]["input"] == [{"name": "input", "data_type": "TYPE_FP32", "dims": [4]}]
    assert seen["every datatype comes back"] == DATATYPES
    assert (seen["the id comes back"], seen["an empty batch"], seen["gzip"], seen["deflate"]) == (
        "r1",
        True,
        True,
        True,
    )
    assert seen["json both ways"] == [{"name": "sums", "datatype": "FP32", "shape": [2, 1], "data": [10.0, 26.0]}]
    assert seen["one output in json, one in binary"] == [[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], SUMS]
    assert seen["in the background"] == [SUMS] * 3
    assert seen["a body made by hand"] == SUMS


def test_tritonclient_over_http_understands_what_is_refused(server: Server) -> None:
    assert seen_by("tritonclient.http", server)["refused"] == {
        "unknown model": "404: there is no model 'none'; this server has echo, scores",
        "wrong shape": "400: input 'input' has shape [2, 3], but the model has [-1, 4]",
        "classification": "400: output 'sums' asks for classification, which this server does not offer",
        "shared memory": "400: input 'input' is in shared memory, which this server does not offer; send its data",
        "shared memory status": "404: there is nothing at this path",
        "load without a token": "401: this is a command: "
        "send the admin token as x-admin-token, or as authorization: Bearer",
    }


def test_tritonclient_over_http_manages_the_repository(server: Server) -> None:
    seen = seen_by("tritonclient.http", server)
    assert seen["statistics"]["success"]["count"] == seen["statistics"]["compute_infer"]["count"] == 6
    assert seen["statistics"]["compute_infer"]["ns"] > 0
    assert (seen["statistics of all"], seen["index"]) == (["echo", "scores"], READY)
    unloaded = {"name": "scores", "version": "", "state": "UNAVAILABLE", "reason": "unloaded"}
    assert seen["unloaded"] == [False, [READY[0], unloaded]]
    assert seen["with a config"].startswith("400: models are loaded as build() makes them")
    assert seen["loaded"] == [True, ["2"]]


def test_tritonclient_over_http_with_asyncio_sees_the_same(server: Server) -> None:
    seen = seen_by("tritonclient.http.aio", server)
    assert (seen["ready"], seen["twenty at once"], seen["gzip"], seen["deflate"]) == (True, 20, True, True)
    assert (seen["index"], seen["versions"], seen["unloaded"], seen["counted"]) == (READY, ["2"], False, True)


def test_a_client_generated_from_the_protocols_document_reads_every_answer(server: Server) -> None:
    seen = seen_by("open_inference", server)
    assert (seen["server"], seen["metadata"]) == ("mlpatterns", ["scores", [["input", "FP32", [-1, 4]]]])
    rows = [float(number) for number in range(1, 9)]
    assert seen["every datatype comes back"] == DATATYPES  # it writes all numbers as floats
    assert seen["answer"] == ["o1", [["sums", [2, 1], [10.0, 26.0]], ["rows", [2, 4], rows]]]
