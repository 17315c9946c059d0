"""Removes ZipMap nodes from a model, so that the scores of a classifier are a tensor and not one map for each row.

By default, converters of scikit-learn, LightGBM, XGBoost and CatBoost end a classifier with a ZipMap. Its output is a
sequence of maps, which no server can batch, split or send. The input tensor of the ZipMap has the same numbers. It
replaces the maps under the same name. The file on disk and its digest do not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["cut", "graphs_of", "zipmap_classes"]

FLOAT, INT = 1, 2  # TensorProto.FLOAT: a ZipMap takes no other; AttributeProto.INT
CAST = 6  # the first opset in which Cast names its datatype by number
OPSET = 8  # added for the domain "" if a model does not import it; Identity is older than this opset
OWN_DOMAIN = ("", "ai.onnx")


def cut(content: bytes) -> bytes:
    """The bytes of the same model without ZipMap; the same object if it has none.

    Raises:
        ModelFileError: the bytes contain the name ZipMap, but are not an ONNX model.
    """
    if b"ZipMap" not in content:
        return content
    from mlpatterns.onnx_format.messages import read_model

    model = read_model(content)
    if not _cut(model.graph, {}, _can_cast(model)):
        return content
    if not any(opset.domain in OWN_DOMAIN for opset in model.opset_import):
        model.opset_import.add(domain="", version=OPSET)
    changed: bytes = model.SerializeToString()
    return changed


def zipmap_classes(node: Any) -> tuple[str, ...]:
    """The class names that a ZipMap gives to the columns of its input."""
    for attribute in node.attribute:
        if attribute.name == "classlabels_strings" and attribute.strings:
            return tuple(text.decode(errors="replace") for text in attribute.strings)
        if attribute.name == "classlabels_int64s" and attribute.ints:
            return tuple(str(number) for number in attribute.ints)
    return ()


def _can_cast(model: Any) -> bool:
    return all(opset.version >= CAST for opset in model.opset_import if opset.domain in OWN_DOMAIN)


def _cut(graph: Any, around: dict[str, int], cast: bool) -> dict[str, int]:
    """Removes the ZipMaps from a graph and from the graphs inside it.

    Args:
        around: the number of columns by name, for the outputs of removed ZipMaps in the enclosing graphs. This graph
            may use these outputs.
        cast: whether to replace a ZipMap with a Cast; otherwise with an Identity.

    Returns:
        the number of columns by name, for the outputs of removed ZipMaps in this graph and for those in `around`.
    """
    columns = dict(around)
    for node in graph.node:  # in the order of execution
        if node.op_type == "ZipMap" and not _used_as_map(graph, node.output[0]):
            columns[node.output[0]] = len(zipmap_classes(node))
            _replace_zipmap(node, cast)
        elif node.op_type == "Identity" and node.input[0] in columns:
            columns[node.output[0]] = columns[node.input[0]]
        for within in graphs_of(node):
            inner = _cut(within, columns, cast)
            for name, output in zip(node.output, within.output, strict=False):
                if output.name in inner:
                    columns[name] = inner[output.name]
    for value in graph.output:
        if value.name in columns:
            _declare_matrix(value, columns[value.name])
    for value in [value for value in graph.value_info if value.name in columns]:
        graph.value_info.remove(value)
    return columns


def _used_as_map(graph: Any, name: str) -> bool:
    """Whether a node of the graph, or of a graph inside it, uses the maps `name`. Then the ZipMap must stay."""
    names = {name}
    for node in graph.node:
        if names.intersection(node.input):
            if node.op_type != "Identity":
                return True
            names.update(node.output)
        if any(_used_as_map(within, each) for within in graphs_of(node) for each in names):
            return True
    return False


def graphs_of(node: Any) -> Sequence[Any]:
    """The graphs inside a node, such as the branches of an If."""
    return [graph for attribute in node.attribute
            for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs)]  # fmt: skip


def _replace_zipmap(node: Any, cast: bool) -> None:
    """Turns a ZipMap into a Cast to float, or into an Identity. The Cast is needed because, for float64 columns,
    converters produce scores of a datatype that a ZipMap does not accept. (ONNX Runtime removes a Cast that changes
    nothing.)"""
    node.op_type, node.domain = "Cast" if cast else "Identity", ""
    del node.attribute[:]
    if cast:
        node.attribute.add(name="to", type=INT, i=FLOAT)


def _declare_matrix(value: Any, columns: int) -> None:
    """Declares a value as a matrix of floats, with one row for each input row and one column for each class."""
    value.ClearField("type")
    tensor = value.type.tensor_type
    tensor.elem_type = FLOAT
    tensor.shape.dim.add(dim_param="batch")
    width = tensor.shape.dim.add()
    if columns:
        width.dim_value = columns
