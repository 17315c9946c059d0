"""Reads the parameters in force of a target: its start values, or the values that commands have set since."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mlpatterns.errors import Unavailable
from mlpatterns.interfaces import ControlStore, Document
from mlpatterns.pieces.thresholds.parameters import StoredParameters, differences, flat, in_force
from mlpatterns.pieces.thresholds.shared import DOCUMENT, SharedParameters
from mlpatterns.pieces.thresholds.thresholds import Thresholds
from mlpatterns.server.app import App
from mlpatterns.settings import Settings
from mlpatterns.stores import open_store
from mlpatterns.user_errors import UserError

__all__ = ["PieceParameters", "parameters_in_force"]


class PieceParameters(msgspec.Struct, frozen=True):
    """The parameters of one piece.

    Attributes:
        path: the path of the piece.
        rows: the name, the value and the source of each parameter.
        warnings: a sentence for each start value that has changed since a command replaced it.
    """

    path: str
    rows: Sequence[tuple[str, str, str]]
    warnings: Sequence[str]


async def parameters_in_force(app: App, settings: Settings) -> list[PieceParameters]:
    """The parameters of every piece of `app` that has some.

    Raises:
        UserError: the control store does not answer, or its document is malformed.
    """
    found = [(path, piece.parameters) for path, piece in app.pieces(settings) if isinstance(piece, Thresholds)]
    documents = await _read([f"{path}/{DOCUMENT}" for path, _ in found], settings)
    return [_in_force(path, parameters, documents.get(f"{path}/{DOCUMENT}"), settings) for path, parameters in found]


async def _read(keys: Sequence[str], settings: Settings) -> dict[str, Document[StoredParameters]]:
    if not keys or (settings.control is None and not (settings.home / "control.db").exists()):
        return {}  # no server has run in this home, and reading must not create the file
    store: ControlStore = await open_store(ControlStore, settings.control_url)  # type: ignore[type-abstract]
    try:
        stored = await store.get_many(keys)
    except Unavailable as error:
        raise UserError(f"{error.message}, so the parameters in force are unknown") from error
    finally:
        await store.close()
    try:
        return {
            key: Document(msgspec.convert(one.value, StoredParameters), one.revision, one.by, one.at)
            for key, one in stored.items()
        }
    except msgspec.ValidationError as error:
        raise UserError(f"the parameters in the control store are malformed: {error}") from error


def _in_force(
    path: str, parameters: SharedParameters, document: Document[StoredParameters] | None, settings: Settings
) -> PieceParameters:
    start = parameters.begin(settings.default_threshold)
    kept = StoredParameters() if document is None else document.value
    source = "start"
    if document is not None and kept.values is not None:
        source = f"command, revision {document.revision} by {document.by}"
    rows = [(name, str(value), source) for name, value in flat(in_force(start, kept)).items()]
    return PieceParameters(path, rows, differences(start, kept))
