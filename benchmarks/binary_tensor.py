"""An image as a binary tensor.

*Claim.* A binary inference call of the Open Inference Protocol with one FP32 tensor of 1 x 3 x 224 x 224 (602,112
bytes in, as many out) through an identity model is answered at least half as often as by a handler that only copies
those bytes.

*Method.* wrk, 1 thread, 16 connections, rounds as in the hot path, one worker. wrk sends the whole body anew each time.

*Why it is fair.* The same uvicorn with the same settings. The handler makes one copy of the tensor and parses nothing
but one header; ours parses the request, checks name, datatype, shape and size, runs ONNX Runtime and describes the
answer. Both answers are compared with the tensor that was sent, byte by byte.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from benchmarks.hot_path import COLUMNS, OURS, table
from benchmarks.models import identity
from benchmarks.records import Goal, Plan, Report
from benchmarks.rounds import alike, compare, ratio
from benchmarks.servers import ours, peer
from benchmarks.wrk import Load

__all__ = ["COLUMNS", "run"]

COPY = "handler that only copies"
GOAL = 0.5
TENSOR = np.linspace(-1, 1, 3 * 224 * 224, dtype="<f4").tobytes()
HEAD = msgspec.json.encode({
    "inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 3, 224, 224],
                "parameters": {"binary_data_size": len(TENSOR)}}],
    "parameters": {"binary_data_output": True},
})  # fmt: skip


def load() -> Load:
    """The request, its JSON padded so that the tensor is aligned, as clients that care do."""
    head = HEAD + b" " * (-len(HEAD) % 16)
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return Load("/v2/models/identity/infer", head + TENSOR, headers)


def run(plan: Plan, folder: Path) -> Report:
    """Ours against the copying handler."""
    commands = {OURS: ours(str(identity(folder))), COPY: peer("copy_tensor:app")}
    shots = compare(alike(commands, load(), lambda body: body.endswith(TENSOR)), plan, folder)
    found = ratio(shots[OURS], shots[COPY])
    goal = Goal("binary tensor 1x3x224x224 FP32, identity: requests/s", f">= {GOAL} x a handler that only copies",
                str(found), found.median >= GOAL)  # fmt: skip
    loss = f"Large binary tensors: a handler that only copies bytes is {1 / found.median:.2f} times as fast."
    return Report(
        goals=(goal,),
        tables=(table("binary tensor, 1 worker", shots),),
        losses=(loss,) if found.median < 1 else (),
        raw={"shots": msgspec.to_builtins(shots)},
    )
