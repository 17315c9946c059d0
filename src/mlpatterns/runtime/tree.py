"""The tree of predictors: the order in which they start, and the path of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mlpatterns.predictor import Predictor
from mlpatterns.user_errors import CompositionError

__all__ = ["Built", "Roots", "is_in", "leaves_first", "roots_of", "start_order", "with_programs"]

Built = Predictor | Mapping[str, Predictor] | list[Predictor]  # what a build function returns

Roots = Sequence[tuple[str, Predictor]]


def roots_of(built: Built) -> list[Predictor]:
    """The predictors that a build function returned."""
    if isinstance(built, Mapping):
        return list(built.values())
    return built if isinstance(built, list) else [built]


def leaves_first(*roots: Predictor) -> Iterator[Predictor]:
    """Every predictor below `roots` once, children before the pieces that wrap them, with children that are `apart`.

    Raises:
        CompositionError: a predictor contains itself.
    """
    for _, predictor in _walk([("", root) for root in roots], apart=True):
        yield predictor


def start_order(roots: Roots, *, apart: bool = False) -> list[tuple[str, Predictor]]:
    """The predictors that start together with `roots`: leaves first, each once, with its path.

    Args:
        roots: the roots, each with its path. If a predictor is reached by two paths, the first path counts.
        apart: whether to include children that are `apart`.

    Raises:
        CompositionError: a predictor contains itself.
    """
    return list(_walk(roots, apart=apart))


def with_programs(roots: Roots) -> list[tuple[str, Predictor]]:
    """The pieces below `roots` that have programs, apart or not, each with its path."""
    return [(path, piece) for path, piece in start_order(roots, apart=True) if piece.programs]


def is_in(predictor: object, others: Iterable[Predictor]) -> bool:
    """Whether `predictor` is one of `others`, compared by identity, because a predictor may define `__eq__`."""
    return any(predictor is other for other in others)


def _walk(roots: Roots, *, apart: bool) -> Iterator[tuple[str, Predictor]]:
    seen: set[int] = set()
    above: list[int] = []

    def visit(path: str, predictor: Predictor) -> Iterator[tuple[str, Predictor]]:
        if id(predictor) in above:
            raise CompositionError(f"{predictor.name!r} contains itself")
        if id(predictor) in seen:
            return
        above.append(id(predictor))
        for key, child in predictor.children.items():
            if apart or key not in predictor.apart:
                yield from visit(f"{path}/{key}", child)
        above.pop()
        seen.add(id(predictor))
        yield path, predictor

    for path, root in roots:
        yield from visit(path, root)
