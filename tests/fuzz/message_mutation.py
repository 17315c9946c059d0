"""A mutation that knows the messages of inference over gRPC: what comes out is one, changed in a few places."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from fuzz.fuzzer import Mutation
from mlpatterns.oip.grpc_messages import DecodeError

__all__ = ["mutation_of"]

DATATYPES = ("FP32", "FP16", "FP64", "INT8", "INT64", "UINT8", "UINT64", "BOOL", "BYTES", "", "FP31")
SIZES = (0, 1, 2, 4, -1, 127, 2**31, 2**62, 2**63 - 1)
CONTENTS: dict[str, tuple[Any, ...]] = {
    "bool_contents": (True, False),
    "int_contents": (0, -129, 128, 2**31 - 1),
    "int64_contents": (0, -(2**63), 2**63 - 1),
    "uint_contents": (0, 256, 2**32 - 1),
    "uint64_contents": (0, 2**64 - 1),
    "fp32_contents": (0.0, float("nan"), float("inf")),
    "fp64_contents": (0.0, -0.0, 1e308),
    "bytes_contents": (b"", b"\xff", b"abc"),
}


def mutation_of(kind: Any, tensors: str, raw: str) -> Mutation:
    """Mutates messages of `kind`, whose tensors and raw contents are in the fields of these names."""

    def mutate(chances: random.Random, data: bytes) -> bytes:
        try:
            message = kind.FromString(data)
        except DecodeError:
            return data
        for _ in range(chances.randrange(1, 4)):
            chances.choice((_describe, _fill, _raw, _parameter, _more))(chances, message, tensors, raw)
        return bytes(message.SerializeToString())

    return mutate


def _any(chances: random.Random, message: Any, tensors: str) -> Any:
    found = getattr(message, tensors)
    return chances.choice(list(found)) if found else found.add()


def _describe(chances: random.Random, message: Any, tensors: str, raw: str) -> None:
    tensor = _any(chances, message, tensors)
    match chances.randrange(3):
        case 0:
            tensor.datatype = chances.choice(DATATYPES)
        case 1:
            tensor.shape[:] = [chances.choice(SIZES) for _ in range(chances.randrange(10))]
        case _:
            tensor.name = chances.choice(("x", "n", "s", "b", "h", "", "é"))


def _fill(chances: random.Random, message: Any, tensors: str, raw: str) -> None:
    tensor = _any(chances, message, tensors)
    field = chances.choice(list(CONTENTS))
    values = getattr(tensor.contents, field)
    if chances.random() < 0.3:
        tensor.ClearField("contents")
    else:
        values.extend(chances.choice(CONTENTS[field]) for _ in range(chances.randrange(6)))
    if chances.random() < 0.5:
        message.ClearField(raw)


def _raw(chances: random.Random, message: Any, tensors: str, raw: str) -> None:
    contents = getattr(message, raw)
    if contents and chances.random() < 0.5:
        at = chances.randrange(len(contents))
        contents[at] = contents[at][: chances.randrange(len(contents[at]) + 1)] + b"\0" * chances.randrange(9)
    else:
        contents.append(chances.randbytes(chances.choice((0, 1, 4, 16))))


def _parameter(chances: random.Random, message: Any, tensors: str, raw: str) -> None:
    parameter = message.parameters[chances.choice(("k", "timeout", "identity", "status", ""))]
    setters: tuple[Callable[[], None], ...] = (
        lambda: setattr(parameter, "bool_param", True),
        lambda: setattr(parameter, "int64_param", -(2**63)),
        lambda: setattr(parameter, "double_param", float("nan")),
        lambda: setattr(parameter, "uint64_param", 2**64 - 1),
        lambda: setattr(parameter, "string_param", "accepted"),
        parameter.Clear,
    )
    chances.choice(setters)()


def _more(chances: random.Random, message: Any, tensors: str, raw: str) -> None:
    """A tensor given again, or taken away; an output asked for."""
    found = getattr(message, tensors)
    match chances.randrange(3):
        case 0 if found:
            found.add().CopyFrom(chances.choice(list(found)))
        case 1 if found:
            del found[chances.randrange(len(found))]
        case _ if tensors == "inputs":
            message.outputs.add(name=chances.choice(("y", "z", "nothing")))
