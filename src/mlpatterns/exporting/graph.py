"""Prepares an exported graph for serving: names and shapes of its tensors, and embedded metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlpatterns.metadata import Array, ModelMetadata
from mlpatterns.registry.files import METADATA_KEY, dump_metadata
from mlpatterns.user_errors import UserError

__all__ = ["add_constant", "add_node", "embed", "finish"]

IR_VERSION = 8  # opset 17 needs it; older versions of ONNX Runtime cannot load a newer one
PRODUCER = "mlpatterns"


def finish(model: Any, inputs: Sequence[str], expected: Mapping[str, Array]) -> tuple[str, ...]:
    """Changes the outputs of a ModelProto to the names and shapes of `expected`. The first axis is the batch.

    Sequences and maps are removed, because a server cannot return them. An output with another shape is reshaped; the
    proof later checks that the numbers are in the right order.

    Returns:
        The inputs that the graph uses.

    Raises:
        UserError: the graph has another number of outputs, or uses none of `inputs`.
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
    del graph.value_info[:]  # exporters write wrong shapes there
    _tidy_versions(model)
    return tuple(name for name in inputs if name in used)


def embed(model: Any, metadata: ModelMetadata) -> bytes:
    """The bytes of a ModelProto with embedded metadata. Its graph gets the name of the model, because skl2onnx draws a
    random name each time, which would change the file of an unchanged model."""
    model.graph.name = metadata.name
    kept = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=METADATA_KEY, value=dump_metadata(metadata).decode())
    content: bytes = model.SerializeToString(deterministic=True)
    return content


# ---- outputs -----------------------------------------------------------------------------------------------------


def _tensors(graph: Any, expected: Mapping[str, Array]) -> list[str]:
    """The tensors behind the outputs: the items of a sequence, the input of a ZipMap, or the slices of a tensor whose
    first axis is the output."""
    makers = {name: node for node in graph.node for name in node.output}
    found: list[str] = []
    for output in graph.output:
        node = makers.get(output.name)
        if node is not None and node.op_type in ("ZipMap", "SequenceConstruct"):
            found.extend(node.input)
            graph.node.remove(node)
        else:
            found.append(output.name)
    if len(found) == 2 < len(expected):  # a forest with several outputs: [output, row, class]
        values = list(expected.values())[1:]
        return [found[0], *(_slice(graph, found[1], number, value) for number, value in enumerate(values))]
    return found[:1] if len(expected) == 1 else found  # a vote also has shares, which the model does not return


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
    """Adds a constant to a GraphProto and returns its name."""
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def add_node(graph: Any, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
    """Adds a node with one output to a GraphProto."""
    from onnx import helper

    graph.node.append(helper.make_node(kind, inputs, [output], **attributes))


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Renames tensors of a GraphProto, also its inputs, but not its outputs. Bodies of loops and branches use the
    same names, so they are changed too."""
    for value in graph.input:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for side in (node.input, node.output):
            side[:] = [names.get(name, name) for name in side]
        for body in _bodies(node):
            _rename(body, names)


# ---- inputs and versions -----------------------------------------------------------------------------------------


def _used(graph: Any, inputs: Sequence[str]) -> set[str]:
    """The inputs that some node reads. A ColumnTransformer may drop the others."""
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
    """Keeps one version of each operator set, because skl2onnx may import one twice; sets IR version and producer."""
    versions: dict[str, int] = {}
    for opset in model.opset_import:
        versions[opset.domain] = max(opset.version, versions.get(opset.domain, 1))
    versions.setdefault("", 13)  # a graph of trees imports none; the operators added here exist since version 5
    del model.opset_import[:]
    for domain, version in sorted(versions.items()):
        model.opset_import.add(domain=domain, version=version)
    if versions[""] <= 17:
        model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = PRODUCER, "", ""
