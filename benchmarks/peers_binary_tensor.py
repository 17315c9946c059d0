"""An image as a binary tensor, against other model servers.

*Claim.* One FP32 tensor of 1 x 3 x 224 x 224 (602,112 bytes) through an identity model, there and back, is answered at
least 3 times as often as by MLServer 1.7 over HTTP.

*Method.* As the binary tensor, in turns of two seconds, one worker. First a heat: all forms that a peer's HTTP has for
an image, raw, as base64 and as numbers in JSON; the fastest goes on.

*Why it is fair.* Each peer has an environment of its own, as in the comparison of one row. Every answer is compared
with the tensor that was sent. MLServer's REST has no binary tensors: its shortest form is base64, for which ours gets
the binary extension of the same protocol. Its raw tensors are gRPC's, and are a line of their own there.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec.structs import replace

from benchmarks.binary_tensor import COPY, TENSOR, load
from benchmarks.forms import BENTOML, LITSERVE, MLSERVER, tensor_forms
from benchmarks.heats import fastest, glances, heat_table, present, shortened, verdicts
from benchmarks.hot_path import OURS, table
from benchmarks.models import identity
from benchmarks.records import Goal, Plan, Report
from benchmarks.rounds import Entrant, compare, ratio
from benchmarks.servers import ours, peer

__all__ = ["run"]

GOAL = 3.0
HEAT_SECONDS = 6  # 150,528 numbers in JSON take some servers a tenth of a second, and 16 clients wait at once
TITLE = "binary tensor, 1 worker"


def run(plan: Plan, folder: Path) -> Report:
    """A heat, then the fastest forms against ours and the handler that only copies."""
    plan = shortened(plan)
    peers, notes = present((MLSERVER, LITSERVE, BENTOML), plan)
    model = identity(folder)
    chosen, heat = fastest(tensor_forms(), peers, model, 1, replace(plan, seconds=HEAT_SECONDS), folder)
    shots = compare(
        {
            OURS: Entrant(ours(str(model)), load(), _ends_right),
            COPY: Entrant(peer("copy_tensor:app"), load(), _ends_right),
            **{form.name: form.entrant(model, 1) for form in chosen.values()},
        },
        plan,
        folder,
    )
    measured = [ratio(shots[OURS], its) for name, its in shots.items() if name.startswith(MLSERVER)]
    what = "binary tensor 1x3x224x224 FP32, identity: requests/s"
    return Report(
        goals=tuple(Goal(what, f">= {GOAL:g} x MLServer over HTTP", str(its), its.median >= GOAL) for its in measured),
        tables=(table(TITLE, shots), *heat_table("the heat", heat)),
        glances=tuple(glances(TITLE, OURS, shots)),
        losses=tuple(verdicts("Binary tensor", OURS, shots)),
        notes=tuple(notes),
        raw={"shots": msgspec.to_builtins(shots), "heat": msgspec.to_builtins(heat)},
    )


def _ends_right(body: bytes) -> bool:
    return body.endswith(TENSOR)
