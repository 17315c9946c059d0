"""Checks a version before it serves: it must keep the contract with the clients, and answer its golden set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from mlpatterns.context import Context
from mlpatterns.errors import PredictionError
from mlpatterns.ids import new_id
from mlpatterns.metadata import ModelMetadata
from mlpatterns.models.onnx.onnx import OnnxModel
from mlpatterns.models.sample.answers import check_sample
from mlpatterns.predictor import InferenceRequest, Predictor, Runtime
from mlpatterns.references import RegisteredReference
from mlpatterns.registry.files import ModelFiles
from mlpatterns.registry.golden import GoldenSet, agree, golden_set
from mlpatterns.registry.signature import Signature
from mlpatterns.runtime import leaves_first
from mlpatterns.user_errors import CompositionError, ModelFileError

__all__ = ["Contract", "check_answers", "check_contract", "check_golden"]

PARTS = Signature.__struct_fields__  # a swap compares the same parts as the command `registry alias`
DIGITS = 16  # hexadecimal digits of each digest; that is enough, because nobody gains by forging one


class Contract(Struct, frozen=True):
    """What clients rely on: the inputs, outputs and labels of a version, each as a digest, which is short.

    Attributes:
        version: the version that has these inputs, outputs and labels.
        parts: the digests by the name of the part.
    """

    version: str = ""
    parts: Mapping[str, str] = {}

    @classmethod
    def of(cls, metadata: ModelMetadata) -> Contract:
        return cls(metadata.version, {part: _digest(getattr(metadata, part)) for part in PARTS})


def check_contract(before: ModelMetadata | Contract, after: ModelMetadata) -> None:
    """Checks that clients of the version `before` can use the version `after`.

    Raises:
        ModelFileError: the inputs, outputs or labels differ.
    """
    kept = before if isinstance(before, Contract) else Contract.of(before)
    new = Contract.of(after)
    changed = [part for part in PARTS if part in kept.parts and kept.parts[part] != new.parts[part]]
    if changed:
        raise ModelFileError(
            f"its {changed[0].replace('_', ' ')} {_differ(changed[0])} of version {kept.version}, so clients would "
            "break; register it under a name of its own, or serve it by "
            f"`mlpatterns swap URL --to {new.version} --force`"
        )


def _differ(part: str) -> str:
    return "differ from those" if part.endswith("s") else "differs from that"


def _digest(part: Any) -> str:
    told = (
        [_without_defaults(each) if isinstance(each, Struct) else each for each in part]
        if isinstance(part, tuple)
        else part
    )
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:DIGITS]


def _without_defaults(spec: Struct) -> dict[str, Any]:
    """The fields of a TensorSpec that differ from their defaults, so that a field that is added later keeps digests."""
    fields = {field.name: (getattr(spec, field.name), field.default) for field in msgspec.structs.fields(spec)}
    return {name: value for name, (value, default) in fields.items() if value != default}


# ---- answers ----


async def check_answers(
    predictor: Predictor, reference: RegisteredReference, runtime: Runtime, *, required: bool
) -> None:
    """Checks that a started version answers its golden set as it did when it was trained.

    Even with undamaged files, another machine or another version of ONNX Runtime may answer differently. A version
    without a golden set must answer its sample with finite numbers.

    Args:
        predictor: the started predictor that `make` built of `reference`.
        required: whether to refuse a version without a golden set.

    Raises:
        CompositionError: nothing in `predictor` was built of `reference`.
        ModelFileError: its answers differ or are not finite, or it has no golden set and `required` is True.
    """
    loaded = list(_loaded(predictor, reference))
    if not loaded:
        raise CompositionError(
            f"`make` built no OnnxModel of {reference}; pass the reference that `make` gets to an OnnxModel"
        )
    for leaf, files in loaded:
        golden = await runtime.offload(lambda files=files: golden_set(files))  # type: ignore[misc]
        if golden is not None:
            await check_golden(leaf, golden)
        elif required:
            raise ModelFileError("it has no golden set, and require_golden asks for one")
        else:
            await check_sample(leaf)


def _loaded(predictor: Predictor, reference: RegisteredReference) -> Iterator[tuple[Predictor, ModelFiles]]:
    for leaf in leaves_first(predictor):
        if isinstance(leaf, OnnxModel) and leaf.reference == reference and leaf.files is not None:
            yield leaf, leaf.files


async def check_golden(leaf: Predictor, golden: GoldenSet) -> None:
    """Checks that a started model answers its golden set.

    Raises:
        ModelFileError: the model does not answer, or its answer differs.
    """
    try:
        answered = await leaf.predict(InferenceRequest(golden.inputs, Context(new_id(), purpose="probe")))
    except PredictionError as error:
        raise ModelFileError(f"it does not answer its golden set: {error}") from error
    for name, expected in golden.outputs.items():
        got = answered.outputs.get(name)
        if got is None or not agree(expected, got, golden.tolerance):
            raise ModelFileError(f"its output {name!r} differs from its golden set")
