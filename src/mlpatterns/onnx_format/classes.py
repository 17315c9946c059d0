"""Finds the class names in a classifier's graph, in the order of its scores.

Converters keep the classes in one of four places: in a ZipMap; in the classifier's own node (LinearClassifier,
SVMClassifier, TreeEnsembleClassifier); in a table that maps an index to a label (ArrayFeatureExtractor, Gather); or in
a LabelEncoder from numbers to names. The search goes backwards from the outputs and uses the nearest place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from mlpatterns.onnx_format.tensors import values_of
from mlpatterns.onnx_format.zipmap import graphs_of, zipmap_classes

__all__ = ["Classes", "classes_of"]

PLACES = (b"classlabels", b"ArrayFeatureExtractor", b"Gather", b"LabelEncoder")  # a file with classes holds one of them
LOOKUPS = {"ArrayFeatureExtractor", "Gather", "GatherElements", "GatherND"}
NODE_ATTRIBUTES = ("classlabels_strings", "classlabels_ints", "classlabels_int64s")


class Classes(Struct, frozen=True):
    """Class names by the index of their score. `own` is True if they are texts, and False if they are numbers."""

    names: tuple[str, ...]
    own: bool


def classes_of(content: bytes, score: str) -> Classes | None:
    """The classes of the model in `content`; None if the model has none.

    Args:
        score: the name of the output with the scores; each class names one of its columns.

    Raises:
        ModelFileError: the bytes are not an ONNX model.
    """
    if not any(place in content for place in PLACES):
        return None
    from mlpatterns.onnx_format.messages import read_model

    graph = read_model(content).graph
    makers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    outputs = [score, *(value.name for value in graph.output if value.name != score)]
    found = [classes for name in outputs for classes in _above(name, makers, constants)]
    zipped = [classes for name in outputs for classes in _zipped(name, makers)]
    zipped += [Classes(zipmap_classes(node), True) for node in _within(graph) if node.op_type == "ZipMap"]
    ranked = zipped + [each for each in found if each.own] + found
    return ranked[0] if ranked else None


def _within(graph: Any) -> Iterator[Any]:
    """All nodes of the graphs inside a graph."""
    for node in graph.node:
        for inner in graphs_of(node):
            yield from inner.node
            yield from _within(inner)


def _zipped(name: str, makers: Mapping[str, Any]) -> Iterator[Classes]:
    node = makers.get(name)
    while node is not None and node.op_type == "Identity":
        node = makers.get(node.input[0])
    if node is not None and node.op_type == "ZipMap":
        own = any(attribute.name == "classlabels_strings" and attribute.strings for attribute in node.attribute)
        yield Classes(zipmap_classes(node), own)


def _above(name: str, makers: Mapping[str, Any], constants: Mapping[str, Any]) -> Iterator[Classes]:
    """The classes nearest to an output, in a breadth-first search of the nodes that it is computed from."""
    names, seen = [name], set()
    while names:
        nodes = [makers[each] for each in names if each in makers and each not in seen]
        seen.update(names)
        for node in nodes:
            classes = _in_node(node, makers, constants)
            if classes is not None:
                yield classes
                return
        names = [each for node in nodes for each in node.input]


def _in_node(node: Any, makers: Mapping[str, Any], constants: Mapping[str, Any]) -> Classes | None:
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if any(name in attributes for name in NODE_ATTRIBUTES):
        texts = [text.decode(errors="replace") for text in _list(attributes, "classlabels_strings", "strings")]
        numbers = [str(n) for name in NODE_ATTRIBUTES[1:] for n in _list(attributes, name, "ints")]
        return _classes(texts or numbers, own=bool(texts))
    if node.op_type in LOOKUPS and node.input:
        table = constants.get(node.input[0]) or _constant(makers.get(node.input[0]))
        values = values_of(table) if table is not None else []
        own = bool(values) and isinstance(values[0], str)
        if own or node.op_type == "ArrayFeatureExtractor":  # numbers in a Gather may mean anything
            return _classes([str(value) for value in values], own=own)
    if node.op_type == "LabelEncoder":
        return _encoded(attributes)
    return None


def _encoded(attributes: Mapping[str, Any]) -> Classes | None:
    """The classes of a LabelEncoder that maps 0, 1, 2 … to names; None for any other."""
    keys = list(_list(attributes, "keys_int64s", "ints")) or _tensor(attributes, "keys_tensor")
    names = [text.decode(errors="replace") for text in _list(attributes, "values_strings", "strings")]
    names = names or [value for value in _tensor(attributes, "values_tensor") if isinstance(value, str)]
    if not names or sorted(keys) != list(range(len(names))):
        return None
    return _classes([name for _, name in sorted(zip(keys, names, strict=True))], own=True)


def _constant(node: Any) -> Any:
    if node is None or node.op_type != "Constant":
        return None
    return next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)


def _list(attributes: Mapping[str, Any], name: str, kind: str) -> Iterable[Any]:
    return getattr(attributes[name], kind) if name in attributes else ()


def _tensor(attributes: Mapping[str, Any], name: str) -> list[Any]:
    return values_of(attributes[name].t) if name in attributes else []


def _classes(names: list[str], *, own: bool) -> Classes | None:
    """The names as classes; None if there are fewer than two names or a name occurs twice. A table with repeated names
    is not a list of classes: for example, it holds the classes of the neighbours in a k-NN."""
    return Classes(tuple(names), own) if len(names) > 1 and len({*names}) == len(names) else None
