"""The graph of an exporter made fit to serve: tensors under good names, of true shapes, and the metadata inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.registry.files import METADATA_KEY, dump_metadata
from mlpatterns.user_errors import UserError

__all__ = ["add_constant", "add_node", "embed", "finish"]

IR_VERSION = 8  # what opset 17 needs; a newer one shuts out older versions of ONNX Runtime
PRODUCER = "mlpatterns"


def finish(model: Any, inputs: Sequence[str], expected: Mapping[str, Array]) -> tuple[str, ...]:
    """Gives a ModelProto the outputs `expected`, by name and shape; its first axis is the batch.

    Sequences and maps, which no server answers with, are cut from it; an output that has the numbers in another shape
    is reshaped, and the proof then says whether they are in order.

    Returns:
        The inputs that it uses.

    Raises:
        UserError: it has other outputs, or none of `inputs` is used.
    """
    graph = model.graph
    tensors = _tensors(graph, expected)
    if len(tensors) != len(expected):
        raise UserError(f"the graph has {len(tensors)} outputs instead of {', '.join(expected)}")
    del graph.output[:]
    made = {name for node in graph.node for name in node.output}
    hidden = {tensor: f"exported_{number}" for number, tensor in enumerate(tensors) if tensor in made}
    _rename(graph, hidden)
    if len(graph.input) == len(inputs):  # skl2onnx writes "my age" as my_age, and label as label1
        _rename(graph, dict(zip([value.name for value in graph.input], inputs, strict=True)))
    for tensor, (name, value) in zip(tensors, expected.items(), strict=True):
        _add_output(graph, hidden.get(tensor, tensor), name, value)
    used = _used(graph, inputs)
    kept = [value for value in graph.input if value.name in used]
    del graph.input[:]
    graph.input.extend(kept)
    del graph.value_info[:]  # exporters write shapes there that do not hold
    _tidy_versions(model)
    return tuple(name for name in inputs if name in used)


def embed(model: Any, metadata: ModelMetadata) -> bytes:
    """The bytes of a ModelProto with its metadata inside."""
    kept = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=METADATA_KEY, value=dump_metadata(metadata).decode())
    content: bytes = model.SerializeToString(deterministic=True)
    return content


# ---- outputs -----------------------------------------------------------------------------------------------------


def _tensors(graph: Any, expected: Mapping[str, Array]) -> list[str]:
    """The tensors behind the outputs: those that a sequence is made of, the one that a map is made of, or the slices
    of one that has a leading axis for several outputs."""
    makers = {name: node for node in graph.node for name in node.output}
    found: list[str] = []
    for output in graph.output:
        node = makers.get(output.name)
        if node is not None and node.op_type in ("ZipMap", "SequenceConstruct"):
            found.extend(node.input)
            graph.node.remove(node)
        else:
            found.append(output.name)
    if len(found) == 2 < len(expected):  # a forest of several labels: [label, row, class]
        values = list(expected.values())[1:]
        return [found[0], *(_slice(graph, found[1], number, value) for number, value in enumerate(values))]
    return found[:1] if len(expected) == 1 else found  # of a vote there are shares too, which it does not answer with


def _slice(graph: Any, tensor: str, number: int, value: Array) -> str:
    name = f"exported_slice_{number}"
    index = add_constant(graph, f"{name}_index", np.array(number))
    classes = add_constant(graph, f"{name}_classes", np.arange(value.shape[1]))
    add_node(graph, "Gather", [tensor, index], f"{name}_all", axis=0)
    add_node(graph, "Gather", [f"{name}_all", classes], name, axis=1)
    return name


def _add_output(graph: Any, tensor: str, name: str, value: Array) -> None:
    from onnx import TensorProto, helper

    text = value.dtype.kind == "O"
    kind = TensorProto.STRING if text else helper.np_dtype_to_tensor_dtype(value.dtype)
    shape = add_constant(graph, f"{tensor}_shape", np.array([-1, *value.shape[1:]], np.int64))
    add_node(graph, "Reshape", [tensor, shape], name if text else f"{tensor}_shaped")
    if not text:  # ONNX Runtime drops a cast that changes nothing
        add_node(graph, "Cast", [f"{tensor}_shaped"], name, to=kind)
    graph.output.append(helper.make_tensor_value_info(name, kind, ["batch", *value.shape[1:]]))


def add_constant(graph: Any, name: str, value: Array) -> str:
    """Adds a constant to a GraphProto; gives its name back."""
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def add_node(graph: Any, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
    """Adds a node of one output to a GraphProto."""
    from onnx import helper

    graph.node.append(helper.make_node(kind, inputs, [output], **attributes))


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Renames tensors of a GraphProto, its inputs among them, but not its outputs; bodies of loops and branches see
    them too."""
    for value in graph.input:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for side in (node.input, node.output):
            side[:] = [names.get(name, name) for name in side]
        for body in _bodies(node):
            _rename(body, names)


# ---- the rest ----------------------------------------------------------------------------------------------------


def _used(graph: Any, inputs: Sequence[str]) -> set[str]:
    """Which of the inputs a node reads: a ColumnTransformer drops columns."""
    read, waiting = set[str](), list(graph.node)
    while waiting:
        node = waiting.pop()
        read.update(node.input)
        waiting.extend(inner for body in _bodies(node) for inner in body.node)
    used = read & set(inputs)
    if not used:
        raise UserError("the model uses no column of its sample")
    return used


def _bodies(node: Any) -> list[Any]:
    return [body for attribute in node.attribute for body in (attribute.g, *attribute.graphs)]


def _tidy_versions(model: Any) -> None:
    """One version of each operator set, where skl2onnx may import one twice."""
    versions: dict[str, int] = {}
    for opset in model.opset_import:
        versions[opset.domain] = max(opset.version, versions.get(opset.domain, 1))
    versions.setdefault("", 13)  # trees alone need none; what is added here is in every one since 5
    del model.opset_import[:]
    for domain, version in sorted(versions.items()):
        model.opset_import.add(domain=domain, version=version)
    if versions[""] <= 17:
        model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = PRODUCER, "", ""
