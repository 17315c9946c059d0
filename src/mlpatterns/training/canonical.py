"""The canonical form of an ONNX graph: equal computations give equal bytes.

Exporters name nodes by counters and hash order, write their version into the file, and list opset imports in the order
of a set. The canonical form contains none of this. Constants are named by a digest of their content. Nodes are in a
topological order that depends only on what they compute, and their outputs are named by that order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from mlpatterns.user_errors import MissingExtra, UserError

try:
    import onnx
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto
except ImportError as error:
    raise MissingExtra("training", "train") from error

__all__ = ["canonical"]

PRODUCER = "mlpatterns"
SUBGRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def canonical(model: ModelProto, *, name: str) -> bytes:
    """The bytes of `model` in canonical form.

    Inputs and outputs keep their names and order. All other names are replaced. The producer is replaced too, and
    documentation and properties are dropped, because they do not affect an answer. Unused nodes and duplicate constants
    are dropped.

    Args:
        name: the name for the graph.

    Raises:
        UserError: the model has subgraphs (If, Loop, Scan), functions, or sparse or external data, which this function
            cannot order.
    """
    _refuse_unordered(model)
    made = ModelProto(ir_version=model.ir_version, producer_name=PRODUCER)
    for opset in sorted(model.opset_import, key=lambda entry: entry.domain):
        made.opset_import.add(domain=opset.domain, version=opset.version)
    _fill(made.graph, model.graph)
    made.graph.name = name
    onnx.checker.check_model(made, full_check=True)
    content: bytes = made.SerializeToString(deterministic=True)
    return content


def _refuse_unordered(model: ModelProto) -> None:
    nested = any(attribute.type in SUBGRAPHS for node in model.graph.node for attribute in node.attribute)
    external = any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer)
    if nested or external or model.functions or model.graph.sparse_initializer:
        raise UserError("a graph with subgraphs, functions, sparse or external data has no canonical form here")


def _fill(made: GraphProto, graph: GraphProto) -> None:
    constants = {tensor.name: _constant(tensor) for tensor in graph.initializer}
    fixed = {value.name for value in (*graph.input, *graph.output)}
    names = {value.name: value.name for value in graph.input} | {"": ""}
    names |= {old: new.name for old, new in constants.items() if old not in fixed}
    made.node.extend(_ordered(_needed(graph), names, {value.name for value in graph.output}))
    used = {name for node in made.node for name in node.input}
    unique = {tensor.name: tensor for tensor in constants.values() if tensor.name in used}
    made.initializer.extend(unique[name] for name in sorted(unique))
    for values, copies in ((graph.input, made.input), (graph.output, made.output)):
        for value in values:
            copies.add(name=value.name, type=value.type)


def _constant(tensor: TensorProto) -> TensorProto:
    """The same values in one storage form, named by their digest."""
    copy = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor))
    content = copy.SerializeToString(deterministic=True)
    copy.name = f"constant_{hashlib.sha256(content).hexdigest()[:16]}"
    return copy


def _needed(graph: GraphProto) -> list[NodeProto]:
    """The nodes on which an output depends."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output}
    wanted, waiting = set(), [value.name for value in graph.output]
    while waiting:
        index = makers.get(waiting.pop())
        if index is not None and index not in wanted:
            wanted.add(index)
            waiting.extend(graph.node[index].input)
    return [graph.node[index] for index in sorted(wanted)]


def _ordered(nodes: list[NodeProto], names: dict[str, str], outputs: set[str]) -> list[NodeProto]:
    """The nodes in order: the next one is always the node with the smallest key among those whose inputs are known.
    Adds the new names of their outputs to `names`."""
    waiting, ordered = list(nodes), list[NodeProto]()
    while waiting:
        ready = [node for node in waiting if all(name in names for name in node.input)]
        if not ready:
            raise UserError("the graph has a cycle or an input that nothing makes")
        node = min(ready, key=lambda node: _key(node, names, outputs))
        waiting.remove(node)
        for place, old in enumerate(node.output):
            names.setdefault(old, old if old in outputs else f"value_{len(ordered)}_{place}")
        ordered.append(_renamed(node, names, len(ordered)))
    return ordered


def _key(node: NodeProto, names: Mapping[str, str], outputs: set[str]) -> tuple[Any, ...]:
    inputs = tuple(names[name] for name in node.input)
    attributes = tuple(entry.SerializeToString(deterministic=True) for entry in _attributes(node))
    return (node.domain, node.op_type, inputs, attributes, tuple(name for name in node.output if name in outputs))


def _attributes(node: NodeProto) -> list[AttributeProto]:
    return sorted(node.attribute, key=lambda entry: entry.name)


def _renamed(node: NodeProto, names: Mapping[str, str], index: int) -> NodeProto:
    copy = NodeProto(op_type=node.op_type, domain=node.domain, name=f"node_{index}")
    copy.input.extend(names[name] for name in node.input)
    copy.output.extend(names[name] for name in node.output)
    for attribute in _attributes(node):
        entry = copy.attribute.add()
        entry.CopyFrom(attribute)
        entry.ClearField("doc_string")
    return copy
