"""Makes the nodes of a diagram from the predictors: one for each piece, and the server above them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlpatterns.base import reference_of
from mlpatterns.errors import NotStarted
from mlpatterns.pieces import registered
from mlpatterns.predictor import Predictor
from mlpatterns.references import FileReference, RegisteredReference
from mlpatterns.runtime.tree import is_in

__all__ = ["Node", "in_words", "nodes_of"]


@dataclass
class Node:
    """One box of a diagram, or the border around a part that may run alone.

    Attributes:
        title: the class of the piece.
        notes: the name of the piece, its model's reference and its version; also "apart" if the piece does not start
            with the piece above.
        role: the name that the piece above gives to it, unless that is `inner` or the piece's own name.
        shared: a number that all boxes of the piece show, if several pieces wrap it; else 0.
    """

    kind: Literal["server", "piece", "service", "again"]
    title: str
    notes: tuple[str, ...] = ()
    role: str = ""
    ready: bool = True
    shared: int = 0
    children: list[Node] = field(default_factory=list)


def nodes_of(models: Mapping[str, Predictor]) -> Node:
    """The server, and below it the predictors that `build()` made. A piece that is reached twice has one full node; the
    other nodes only refer to it.

    Args:
        models: the predictors by the name under which each is served, without the Limit that the server puts around it.
    """
    seen: dict[int, Node] = {}
    return Node("server", "server", children=[_node(name, model, seen) for name, model in models.items()])


def in_words(node: Node) -> str:
    """The diagram in words, for people who cannot see it."""
    said = " ".join(_words(node))
    if not node.children or node.kind == "again":
        return said
    return f"{said} ({'; '.join(in_words(child) for child in node.children)})"


def _words(node: Node) -> Iterator[str]:
    if node.role:
        yield f"{node.role}:"
    yield node.title
    yield from (", ".join(node.notes),) if node.notes else ()
    if node.kind == "again":
        yield "again"


def _node(role: str, piece: Predictor, seen: dict[int, Node], *, apart: bool = False) -> Node:
    """The node of `piece`. A piece that is `apart` does not start with the rest, so the server does not wait for it."""
    role = "" if role in ("inner", piece.name) else role
    known = seen.get(id(piece))
    if known is not None:
        known.shared = known.shared or 1 + max(node.shared for node in seen.values())
        return Node("again", known.title, known.notes[:1], role, known.ready, known.shared)
    node = Node("service" if _drawn(piece) == "border" else "piece", type(piece).__name__, role=role)
    seen[id(piece)] = node
    away = [piece.children[key] for key in piece.apart]
    for key, child in _parts(piece):
        below = _node(key, child, seen, apart=apart or is_in(child, away))
        below.notes += ("apart",) if is_in(child, away) else ()
        node.children.append(below)
    version = _version(piece)
    node.ready = apart or version is not None
    node.notes = tuple(_notes(piece, version, node))
    return node


def _parts(piece: Predictor) -> Iterator[tuple[str, Predictor]]:
    """The wrapped pieces by name, or by number if their order matters."""
    if _drawn(piece) == "numbered" and len(piece.children) > 1:
        yield from ((str(number), child) for number, child in enumerate(piece.children.values(), 1))
    else:
        yield from piece.children.items()


def _drawn(piece: Predictor) -> str:
    entry = registered(piece)
    return "box" if entry is None else entry.diagram


def _version(piece: Predictor) -> str | None:
    """The version of the piece; None while it is not ready."""
    try:
        return piece.metadata.version
    except NotStarted:
        return None


def _notes(piece: Predictor, version: str | None, node: Node) -> Iterator[str]:
    inner = list(piece.children.values())
    if not inner or _drawn(piece) == "border":
        yield from _names(piece)
    elif len(inner) > 1 or inner[0].name != piece.name:  # a wrapper usually has the name of the piece that it wraps
        yield piece.name
    if not node.ready and all(child.ready for child in node.children):
        yield "not ready yet"
    elif version and not inner:
        yield f"version {version}"


def _names(piece: Predictor) -> Iterator[str]:
    """The piece's name and its model's reference. If the model is a file, only the file name: its folder is private."""
    reference = reference_of(piece)
    if isinstance(reference, RegisteredReference):
        if reference.name != piece.name:
            yield piece.name
        yield str(reference)
    else:
        yield piece.name
        if isinstance(reference, FileReference):
            yield reference.path.name
