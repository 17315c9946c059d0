"""The metadata of a piece around several predictors, made from the metadata of its parts, which may arrive late."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from mlpatterns.errors import NotStarted
from mlpatterns.metadata import ModelMetadata, TensorSpec
from mlpatterns.predictor import Predictor
from mlpatterns.user_errors import CompositionError

__all__ = ["CombinedMetadata", "alike", "require_same_inputs", "smallest_batch"]

log = logging.getLogger("mlpatterns")


class CombinedMetadata:
    """Makes the metadata of a piece, again whenever a part has new metadata.

    Args:
        name: the name of the piece.
        parts: the predictors by name.
        describe: makes the metadata of the piece from the metadata of the parts by name; raises CompositionError if the
            parts do not fit together.
    """

    def __init__(
        self,
        name: str,
        parts: Mapping[str, Predictor],
        describe: Callable[[Mapping[str, ModelMetadata]], ModelMetadata],
    ) -> None:
        self._name, self._parts, self._describe = name, parts, describe
        self._known: tuple[list[ModelMetadata], ModelMetadata] | None = None
        self._told = ""

    def forget(self) -> None:
        """Resets the state, for a new start of the piece."""
        self._known, self._told = None, ""

    def of_all(self) -> ModelMetadata:
        """The metadata of the piece.

        Raises:
            NotStarted: a part has no metadata yet.
            CompositionError: the parts do not fit together.
        """
        parts = [part.metadata for part in self._parts.values()]
        if self._known is None or any(a is not b for a, b in zip(self._known[0], parts, strict=True)):
            self._known = parts, self._describe(dict(zip(self._parts, parts, strict=True)))
        return self._known[1]

    def once_ready(self) -> ModelMetadata:
        """The metadata of the piece, after the start, when it is too late for a CompositionError.

        Raises:
            NotStarted: a part has no metadata yet, or the parts do not fit together, which is logged once.
        """
        try:
            return self.of_all()
        except CompositionError as error:
            if str(error) != self._told:
                self._told = str(error)
                log.error("%r cannot answer: %s", self._name, error)
            raise NotStarted(self._name, str(error)) from error


def smallest_batch(parts: Iterable[ModelMetadata]) -> int | None:
    """The most rows that every one of `parts` takes in one request; None if no part has a limit."""
    return min((part.max_batch_size for part in parts if part.max_batch_size is not None), default=None)


def alike(name: str, platform: str, parts_are: str, parts: Mapping[str, ModelMetadata]) -> ModelMetadata:
    """The metadata of a piece in which any one of `parts` answers.

    Args:
        name: the name of the piece.
        platform: its platform.
        parts_are: the word for the parts in the error text, such as ``arms``.
        parts: the metadata of the parts by name.

    Raises:
        CompositionError: the parts do not have the same inputs and outputs.
    """
    (first_name, first), *others = parts.items()
    for other_name, part in others:
        for what, verb in (("inputs", "takes"), ("outputs", "gives")):
            mine, its = _tensors(getattr(first, what)), _tensors(getattr(part, what))
            if mine != its or first.primary_output != part.primary_output:
                raise CompositionError(
                    f"the {parts_are} of {name!r} must have the same {what}: {first_name!r} {verb} "
                    f"{', '.join(mine)}, {other_name!r} {verb} {', '.join(its)}"
                )
    alike = all((part.labels, part.threshold) == (first.labels, first.threshold) for part in parts.values())
    labels, threshold = (first.labels, first.threshold) if alike else ((), None)
    version = ",".join(dict.fromkeys(part.version for part in parts.values()))
    return ModelMetadata(name, version, platform, first.inputs, first.outputs, first.primary_output, labels,
                         first.sample, smallest_batch(parts.values()), threshold)  # fmt: skip


def require_same_inputs(name: str, parts: Mapping[str, ModelMetadata]) -> None:
    """Checks that all `parts` take the same inputs.

    Raises:
        CompositionError: two parts take different inputs.
    """
    (first_name, first), *others = parts.items()
    for other_name, part in others:
        mine, its = _tensors(first.inputs), _tensors(part.inputs)
        if mine != its:
            raise CompositionError(
                f"the parts of {name!r} must take the same inputs: {first_name!r} takes {', '.join(mine)}, "
                f"{other_name!r} takes {', '.join(its)}"
            )


def _tensors(specs: Iterable[TensorSpec]) -> list[str]:
    return sorted(f"{spec.name} {spec.datatype}{list(spec.shape)}" for spec in specs)
