"""What clients rely on, small enough to be shared: a version may follow another where it is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from mlpatterns.errors import ModelFileError
from mlpatterns.metadata import ModelMetadata
from mlpatterns.registry.signature import Signature

__all__ = ["Contract", "check_contract"]

PARTS = Signature.__struct_fields__  # what an alias is held against is what a swap is
DIGITS = 16  # of each digest: enough to tell versions apart, which nobody forges


class Contract(Struct, frozen=True):
    """The inputs, outputs and labels of a version, each as a digest: a thousand labels are as short as one.

    Attributes:
        version: whose they are.
        parts: digests by the name of the part.
    """

    version: str = ""
    parts: Mapping[str, str] = {}

    @classmethod
    def of(cls, metadata: ModelMetadata) -> Contract:
        return cls(metadata.version, {part: _digest(getattr(metadata, part)) for part in PARTS})


def check_contract(before: ModelMetadata | Contract, after: ModelMetadata) -> None:
    """Whether clients of one may be answered by the other.

    Raises:
        ModelFileError: its inputs, outputs or labels are others.
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
    told = [_stated(each) if isinstance(each, Struct) else each for each in part] if isinstance(part, tuple) else part
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:DIGITS]


def _stated(spec: Struct) -> dict[str, Any]:
    """Of a tensor what is not the default, so that a field which mlpatterns adds one day changes no digest."""
    told = {field.name: (getattr(spec, field.name), field.default) for field in msgspec.structs.fields(spec)}
    return {name: value for name, (value, default) in told.items() if value != default}
