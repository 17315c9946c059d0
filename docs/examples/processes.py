"""Tests of your own: processes and load.

Real servers, each in a process of its own, and requests at a rate that does not depend on the answers.
"""

from __future__ import annotations

from mlpatterns.testing import ServerProcess, Target, attack, process

NAMES = ("process", "ServerProcess", "killed_under_load", "Target", "attack", "Report", "find_limit", "loaded")


async def server_process_example() -> None:
    server: ServerProcess
    async with process("iris.onnx", "--workers", "1") as server:
        answer = await server.http.post("/predict/label", json={"data": [[5.1, 3.5, 1.4, 0.2]]})
        assert answer.json()["prediction"] == "setosa"
    assert server.status == 0


async def target_example() -> None:
    body = b'{"data": [[5.1, 3.5, 1.4, 0.2]]}'
    target = Target("http://127.0.0.1:8000/predict", "POST", (("user-id", "ann"),), body)
    assert target.method == "POST"


async def report_example() -> None:
    async with process("iris.onnx") as server:
        report = await attack(f"{server.url}/predict/test", rate=50, seconds=0.5)
    assert (report.requests, report.status_codes) == (25, {"200": 25})
    assert report.success == 1
