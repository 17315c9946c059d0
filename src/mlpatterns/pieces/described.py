"""The metadata of a piece around several predictors: it is made of theirs, which may come late."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from mlpatterns.errors import CompositionError, NotStarted
from mlpatterns.metadata import ModelMetadata
from mlpatterns.predictor import Predictor

__all__ = ["Described"]

log = logging.getLogger("mlpatterns")


class Described:
    """Describes anew when a part has other metadata than before.

    Args:
        name: of the whole.
        parts: the predictors by name.
        describe: makes the whole's metadata of those of the parts by name; raises CompositionError if they do not fit.
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
        """For a new start."""
        self._known, self._told = None, ""

    def of_all(self) -> ModelMetadata:
        """
        Raises:
            NotStarted: a part has none yet.
            CompositionError: they do not fit.
        """
        parts = [part.metadata for part in self._parts.values()]
        if self._known is None or any(a is not b for a, b in zip(self._known[0], parts, strict=True)):
            self._known = parts, self._describe(dict(zip(self._parts, parts, strict=True)))
        return self._known[1]

    def once_ready(self) -> ModelMetadata:
        """The same, when it is too late to refuse the start.

        Raises:
            NotStarted: a part has none yet, or they do not fit, which is logged once.
        """
        try:
            return self.of_all()
        except CompositionError as error:
            if str(error) != self._told:
                self._told = str(error)
                log.error("%r cannot answer: %s", self._name, error)
            raise NotStarted(self._name, str(error)) from error
