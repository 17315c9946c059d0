"""The operations of pieces as routes: `/pieces/<path>/<name>`, and `/<name>` if no other piece has that name.

The path is the name under which a model is served, followed by the keys of `children` down to the piece. If a piece has
several parents, its path is the first one that is found. A query is a GET, a command is a POST, and a page is a GET
that returns HTML. A query and a command of one piece may have the same name. All paths consist of names in code, never
of text that a client sends.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from starlette.routing import compile_path

from mlpatterns.predictor import Operation, Predictor
from mlpatterns.references import NAME
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.operation_call import OperationCall
from mlpatterns.server.routes import Routes
from mlpatterns.user_errors import CompositionError

__all__ = ["MappedOperation", "add_operations", "names_in"]

METHODS = {"query": "GET", "command": "POST", "page": "GET"}
_NAME = re.compile(rf"(?:{NAME}|\{{[A-Za-z_]\w*\}})(?:/(?:{NAME}|\{{[A-Za-z_]\w*\}}))*")
_PARAMETER = re.compile(r"\{(\w+)\}")


class MappedOperation(Struct, frozen=True):
    """An operation with the name of its model, its piece, and the paths of its routes, the long path first."""

    model: str
    piece: Predictor
    operation: Operation
    paths: tuple[str, ...]

    @property
    def method(self) -> str:
        return METHODS[self.operation.kind]


def add_operations(
    routes: Routes, models: Mapping[str, Predictor], runtime: AppRuntime, buffers: Buffers
) -> list[MappedOperation]:
    """Adds the operations of `models` and all pieces below them. Call it last: a short path must not hide a route.

    Raises:
        CompositionError: an operation's name cannot be a path, or two operations have the same path.
    """
    found = list(_mapped(models, routes))
    taken: set[tuple[str, str]] = set()
    for mapped in found:
        operation = mapped.operation
        called = OperationCall(operation, names_in(operation.name), runtime, buffers)
        for path in mapped.paths:
            if (mapped.method, path) in taken:
                raise CompositionError(f"two operations would answer {mapped.method} {path}: rename one of them")
            taken.add((mapped.method, path))
            routes.add(mapped.method, path, called.handler, access="token" if operation.access == "token" else "user")
    return found


def names_in(path: str) -> tuple[str, ...]:
    """The names of the parameters `{name}` in a path."""
    return tuple(_PARAMETER.findall(path))


def _mapped(models: Mapping[str, Predictor], routes: Routes) -> Iterator[MappedOperation]:
    seen: set[int] = set()
    pieces = [found for name, model in models.items() for found in _pieces(name, (name,), model, seen)]
    owners: dict[str, set[int]] = defaultdict(set)
    for _, _, piece in pieces:
        for operation in piece.operations:
            owners[_shape(operation.name)].add(id(piece))
    others = [route.path for route in routes.all()]
    for model, path, piece in pieces:
        for operation in piece.operations:
            _check(operation, path)
            short = f"/{operation.name}"
            alone = len(owners[_shape(operation.name)]) == 1 and not _overlaps(short, others)
            paths = ("/".join(("/pieces", *path, operation.name)), *((short,) if alone else ()))
            yield MappedOperation(model, piece, operation, paths)


def _pieces(
    model: str, path: tuple[str, ...], piece: Predictor, seen: set[int]
) -> Iterator[tuple[str, tuple[str, ...], Predictor]]:
    """Yields (model name, names on the path, piece) for each piece that is not in `seen`, and adds its id to `seen`."""
    if id(piece) in seen:
        return
    seen.add(id(piece))
    yield model, path, piece
    for key, child in piece.children.items():
        yield from _pieces(model, (*path, key), child, seen)


def _check(operation: Operation, path: tuple[str, ...]) -> None:
    if not _NAME.fullmatch(operation.name):
        raise CompositionError(f"an operation cannot be named {operation.name!r}: write words, '/' and {{parameters}}")
    if len(set(names_in(operation.name))) < len(names_in(operation.name)):
        raise CompositionError(f"the operation {operation.name!r} has a parameter twice")
    for key in path:
        if not re.fullmatch(NAME, key):
            raise CompositionError(
                f"a part that has operations cannot be called {key!r}: a name is letters, digits, '_', '-' and '.'"
            )


def _shape(name: str) -> str:
    """`name` without the names of its parameters, since `job/{id}` and `job/{key}` match the same paths."""
    return _PARAMETER.sub("{}", name)


def _overlaps(path: str, others: Sequence[str]) -> bool:
    """Whether a request may match both `path` and one of `others`."""
    mine = compile_path(path)[0]
    return any(mine.match(_sample(other)) or compile_path(other)[0].match(_sample(path)) for other in others)


def _sample(path: str) -> str:
    return _PARAMETER.sub("1", path)
