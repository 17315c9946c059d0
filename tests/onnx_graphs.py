"""Small hand-made ONNX graphs like those of classifier converters: with ZipMap and lists of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import ModelProto, ValueInfoProto, helper
from onnx import TensorProto as T

__all__ = ["ML", "THREE", "argmax", "classifier", "floats", "made", "maps", "zip_map"]

THREE = ["ant", "bee", "cat"]
ML = "ai.onnx.ml"


def made(
    nodes: Sequence[Any],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    *constants: Any,
    domains: Sequence[str] = ("", ML),
    properties: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a model. `inputs` and `outputs` are by name (element type, shape), where a shape of None is left
    undeclared, or a result of `maps`."""
    sides = [
        [value if isinstance(value, ValueInfoProto) else helper.make_tensor_value_info(name, *value)
         for name, value in side.items()]
        for side in (inputs, outputs)
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "g", sides[0], sides[1], constants)
    versions = {"": 17, ML: 3}
    imports = [helper.make_opsetid(domain, versions.get(domain, 1)) for domain in domains]
    model: ModelProto = helper.make_model(graph, opset_imports=imports, ir_version=9)
    helper.set_model_props(model, dict(properties or {}))
    content: bytes = model.SerializeToString()
    return content


def floats(*shape: Any) -> tuple[int, list[Any]]:
    return T.FLOAT, list(shape)


def maps(name: str, key: int = T.STRING) -> ValueInfoProto:
    """An output that is a sequence of maps."""
    kind = helper.make_map_type_proto(key, helper.make_tensor_type_proto(T.FLOAT, None))
    return helper.make_value_info(name, helper.make_sequence_type_proto(kind))


def zip_map(source: str, target: str, classes: Sequence[Any] = THREE) -> Any:
    names: dict[str, Any] = {
        "classlabels_strings" if isinstance(classes[0], str) else "classlabels_int64s": list(classes)
    }
    return helper.make_node("ZipMap", [source], [target], domain=ML, **names)


def argmax(source: str, target: str) -> Any:
    return helper.make_node("ArgMax", [source], [target], axis=1, keepdims=0)


def classifier(classes: Sequence[Any], *, zipped: bool = True) -> bytes:
    """`x` with two columns -> `label` and `scores`, by a LinearClassifier as written by skl2onnx."""
    names: dict[str, Any] = {
        "classlabels_strings" if isinstance(classes[0], str) else "classlabels_ints": list(classes)
    }
    count = len(classes)
    nodes = [helper.make_node("LinearClassifier", ["x"], ["label", "raw" if zipped else "scores"], domain=ML,
                              coefficients=[float((7 * place) % 5) - 2 for place in range(2 * count)],
                              intercepts=[0.0] * count, post_transform="SOFTMAX",
                              **names)]  # fmt: skip
    text = isinstance(classes[0], str)
    if zipped:
        nodes.append(zip_map("raw", "scores", classes))
    label = (T.STRING if text else T.INT64, [None])
    scores = maps("scores", T.STRING if text else T.INT64) if zipped else floats(None, count)
    return made(nodes, {"x": floats(None, 2)}, {"label": label, "scores": scores})
