"""Exports networks of torch."""

from __future__ import annotations

import copy
import inspect
import io
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from mlpatterns.exporting.answers import output_names
from mlpatterns.exporting.sample import ExportSample, read_sample
from mlpatterns.exporting.source import Draft, ExportSource, first_line
from mlpatterns.metadata import Array
from mlpatterns.user_errors import MissingExtra, UserError

__all__ = ["network_source"]

OPSETS = (17, 20)  # 17 runs on every recent ONNX Runtime; 20 has more operators


def network_source(model: Any, sample: Any) -> ExportSource:
    """An nn.Module with its answers to a sample, computed on the CPU in eval mode. The module itself is not changed.

    The first axis of each input and output is the batch, which is variable. One output is called ``output``. Several
    are called ``output_0`` and so on, or by the keys of the dictionary that the module returns.

    Raises:
        MissingExtra: onnx or torch is not installed.
        UserError: the module does not take the sample, or does not return tensors with one row for each input row.
    """
    try:
        import onnx  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra("exporting a network of torch", "torch") from error
    kind = type(model).__name__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the gradients of a scripted module's copy
        network = copy.deepcopy(model).cpu().eval()
    inputs, fields = _inputs(network, sample)
    try:
        outputs = _answers(network, inputs)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the {kind} does not accept the sample: {first_line(error)}") from error
    names = output_names(outputs, inputs)

    def again(others: Mapping[str, Array]) -> Mapping[str, Array]:
        return {names[name]: value for name, value in _answers(network, others).items()}

    expected = {names[name]: value for name, value in outputs.items()}
    drafts = [Draft(inputs, partial(_convert, network, inputs, list(expected), opset), fields) for opset in OPSETS]
    return ExportSource(kind, expected, drafts, next(iter(expected)), again=again)


def _inputs(network: Any, sample: Any) -> tuple[dict[str, Array], tuple[str, ...]]:
    """The arrays by input name, and the column names of a table of numbers."""
    parameters = _arguments(network)
    if isinstance(sample, tuple):
        if len(sample) > len(parameters):
            raise UserError(f"the sample has {len(sample)} tensors, but forward takes {', '.join(parameters)}")
        sample = dict(zip(parameters, sample, strict=False)) if len(sample) > 1 else sample[0]
    if isinstance(sample, dict):
        unknown = [name for name in sample if name not in parameters]
        if unknown:
            raise UserError(f"forward has no argument {unknown[0]!r}; it takes {', '.join(parameters)}")
        ordered = {name: sample[name] for name in parameters if name in sample}
        return {name: _numbers(network, _array(read_sample(value))) for name, value in ordered.items()}, ()
    read = read_sample(sample)
    return {"input": _numbers(network, _array(read))}, tuple(read.columns)


def _arguments(network: Any) -> list[str]:
    """The names of forward's positional arguments. A scripted module has them in its schema."""
    if hasattr(network.forward, "schema"):
        return [argument.name for argument in network.forward.schema.arguments[1:]]
    parameters = inspect.signature(network.forward).parameters.values()
    return [one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]


def _array(sample: ExportSample) -> Array:
    array = sample.array if sample.array is not None else np.stack(list(sample.columns.values()), axis=1)
    if array.dtype.kind not in "fiub":
        raise UserError("a network of torch takes numbers; encode text before it")
    return array


def _numbers(network: Any, array: Array) -> Array:
    """Floats in the type of the network's weights, because torch does not mix types; integers as int64; bool and uint8
    unchanged."""
    import torch

    kinds = {torch.float64: np.float64, torch.float16: np.float16}
    weights = next((weight.dtype for weight in network.parameters() if weight.is_floating_point()), torch.float32)
    if array.dtype.kind == "f":
        return array.astype(kinds.get(weights, np.float32))
    return array if array.dtype.kind == "b" or array.dtype == np.uint8 else array.astype(np.int64)


def _answers(network: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    import torch

    tensors = _tensors(inputs)
    with torch.no_grad():
        answer = network(*tensors.values()) if _is_alone(inputs) else network(**tensors)
    return _outputs(type(network).__name__, answer, len(next(iter(inputs.values()))))


def _tensors(inputs: Mapping[str, Array]) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in inputs.items()}


def _is_alone(inputs: Mapping[str, Any]) -> bool:
    """Whether there is one input, which is passed by position. Several inputs are passed by argument name."""
    return list(inputs) == ["input"]


def _outputs(kind: str, answer: Any, rows: int) -> dict[str, Array]:
    if hasattr(answer, "keys"):
        found = {str(name): answer[name] for name in answer.keys()}  # noqa: SIM118 — not every one is a dict
    elif isinstance(answer, (tuple, list)):
        found = {f"output_{number}": value for number, value in enumerate(answer)}
    else:
        found = {"output": answer}
    for name, value in found.items():
        if not hasattr(value, "detach"):
            raise UserError(f"{kind}: its {name!r} is a {type(value).__name__}; let forward answer with tensors alone")
        if value.ndim == 0 or len(value) != rows:
            raise UserError(f"{kind}: its {name!r} has the shape {list(value.shape)}, not one row for each of {rows}")
    return {name: value.detach().numpy().copy() for name, value in found.items()}


def _convert(network: Any, inputs: Mapping[str, Array], outputs: list[str], opset: int) -> Any:
    import onnx
    import torch

    tensors, alone = _tensors(inputs), _is_alone(inputs)
    content, names = io.BytesIO(), [*tensors, *outputs]
    with warnings.catch_warnings():
        # The proof finds what torch warns about: a branch that depends on the sample, a constant batch size.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, tuple(tensors.values()) if alone else (), content, kwargs=None if alone else dict(tensors),
            dynamo=False, opset_version=opset, input_names=list(tensors), output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in names},
        )  # fmt: skip
    return onnx.load_from_string(content.getvalue())
