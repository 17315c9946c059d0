"""Makes the metadata of an ONNX model from the file beside it, its embedded metadata, its graph and its user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from mlpatterns.metadata import Array, ModelMetadata, TensorSpec
from mlpatterns.models.name_lists import check_names
from mlpatterns.models.onnx.agreement import OwnAnswers, own_answers
from mlpatterns.models.onnx.columns import with_columns, with_missing
from mlpatterns.models.onnx.graph import describe, fitting
from mlpatterns.models.onnx.labels import numbers, with_labels
from mlpatterns.models.onnx.trial import SessionTrial, find_sample
from mlpatterns.models.sample.rows import Sample, first_row, sample_rows
from mlpatterns.onnx_format.classes import Classes, classes_of
from mlpatterns.onnx_format.ranks import unranked
from mlpatterns.onnx_format.widths import widths
from mlpatterns.registry.files import METADATA_KEY, ModelFiles, metadata_path, parse_metadata, read
from mlpatterns.tensors import batch_size
from mlpatterns.user_errors import SettingsError

__all__ = ["MetadataOverrides", "checked_overrides", "model_metadata"]


class MetadataOverrides(Struct, frozen=True):
    """The user's description of a model, which overrides the metadata from its files; see `OnnxModel`."""

    labels: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    missing: tuple[str, ...] | Literal["all"] = ()
    threshold: float | None = None
    sample: Sample | None = None


NOTHING = MetadataOverrides()


def checked_overrides(
    labels: Sequence[str],
    columns: Sequence[str],
    missing: Sequence[str] | Literal["all"],
    threshold: float | None,
    sample: Sample | None,
) -> MetadataOverrides:
    """The arguments of an `OnnxModel`, checked as far as possible without the model.

    Raises:
        SettingsError: a name is empty or occurs twice, or the threshold is not finite.
    """
    for what, names in (("labels", labels), ("columns", columns)):
        check_names(what, names)
    if threshold is not None and not isfinite(threshold):
        raise SettingsError(
            f"the threshold {threshold} is not a number; give one above which a score is the second label"
        )
    absent: tuple[str, ...] | Literal["all"] = "all" if missing == "all" else tuple(missing)
    return MetadataOverrides(tuple(labels), tuple(columns), absent, threshold, sample)


def model_metadata(files: ModelFiles, session: Any, overrides: MetadataOverrides, name: str) -> ModelMetadata:
    """The metadata of an opened model. This runs the model and blocks: call it in a thread.

    A registered model has the metadata that was registered with it. A model file has the metadata in the file beside
    it, which may be written by hand; else the metadata that its exporter embedded; else metadata from its graph.

    Args:
        overrides: the user's description of the model, which overrides that metadata.
        name: the name under which the model is served.

    Raises:
        SettingsError: `overrides` do not fit the model.
        ModelFileError: the metadata beside the model or in it does not fit the model.
    """
    if files.metadata is not None and files.folder is not None and overrides == NOTHING:
        return files.metadata
    content = read(files)
    trial, free = SessionTrial(session), _unranked(session, content)
    metadata = replace(_base(files, session, free), name=name)
    metadata = with_missing(with_columns(_with_widths(metadata, content), overrides.columns), overrides.missing)
    metadata, outputs = _sampled(metadata, files, trial, overrides.sample, free)
    metadata = _by_rows(replace(metadata, outputs=tuple(_with_shape(spec, outputs.get(spec.name), free)
                                                        for spec in metadata.outputs)), trial)  # fmt: skip
    classes = classes_of(content, metadata.primary_output)
    answers = _answers(trial, metadata, overrides, classes)
    sized = replace(metadata, outputs=tuple(_with_sizes(spec, outputs.get(spec.name)) for spec in metadata.outputs))
    return replace(
        with_labels(sized, overrides.labels, overrides.threshold, classes, answers), outputs=metadata.outputs
    )


def _answers(
    trial: SessionTrial, metadata: ModelMetadata, overrides: MetadataOverrides, classes: Classes | None
) -> OwnAnswers | None:
    """The model's own answers to rows around its sample. If its graph contains no classes, an output counts as a label
    only if it is the index of the lowest score, as in k-means. The meaning of any other number is unknown."""
    if classes is not None:
        return own_answers(trial, metadata, classes)
    names = numbers(len(overrides.labels or metadata.labels))
    answers = own_answers(trial, metadata, Classes(names, own=False)) if names else None
    return answers if answers is not None and answers.lowest else None


def _base(files: ModelFiles, session: Any, free: frozenset[str]) -> ModelMetadata:
    if files.metadata is not None:
        return files.metadata if files.folder else fitting(files.metadata, session, metadata_path(files.model).name)
    embedded = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if embedded is None:
        return describe(session, free)
    what = f"the metadata in {files.model.name}"
    return fitting(parse_metadata(embedded.encode(), what)[0], session, what)


def _with_widths(metadata: ModelMetadata, content: bytes) -> ModelMetadata:
    """`metadata` in which variable numbers of columns are replaced by those found from the constants of the graph."""
    if all(len(spec.shape) != 2 or spec.shape[1] != -1 or spec.fields for spec in metadata.inputs):
        return metadata
    found = widths(content)
    inputs = [replace(spec, shape=(spec.shape[0], found[spec.name]))
              if spec.name in found and len(spec.shape) == 2 and spec.shape[1] == -1 else spec
              for spec in metadata.inputs]  # fmt: skip
    return replace(metadata, inputs=tuple(inputs))


def _by_rows(metadata: ModelMetadata, trial: SessionTrial) -> ModelMetadata:
    """`metadata` with a variable first axis for each output that has one row for each input row when the model runs.
    The graph may declare another first axis."""
    required = [spec for spec in metadata.inputs if not spec.optional]
    fixed = [spec for spec in metadata.outputs if spec.shape and spec.shape[0] != -1]
    if not fixed or not metadata.sample or any(spec.shape[:1] != (-1,) for spec in required):
        return metadata
    twice = {name: np.concatenate([value, value]) for name, value in metadata.sample.items()}
    outputs, rows = trial.run(twice, bounded=True) or {}, batch_size(twice)
    free = {spec.name for spec in fixed if spec.name in outputs and outputs[spec.name].shape[:1] == (rows,)}
    return replace(metadata, outputs=tuple(replace(spec, shape=(-1, *spec.shape[1:])) if spec.name in free else spec
                                           for spec in metadata.outputs))  # fmt: skip


def _unranked(session: Any, content: bytes) -> frozenset[str]:
    """The inputs and outputs that may have any rank."""
    if all(node.shape for node in (*session.get_inputs(), *session.get_outputs())):
        return frozenset()
    return unranked(content)


def _sampled(
    metadata: ModelMetadata, files: ModelFiles, trial: SessionTrial, user_sample: Sample | None, free: frozenset[str]
) -> tuple[ModelMetadata, Mapping[str, Array]]:
    """`metadata` with a sample, and the model's outputs for it."""
    if user_sample is not None:
        ranked = _ranked_by(user_sample, metadata, free)
        sample = first_row(sample_rows(user_sample, ranked.inputs), ranked.inputs)
        outputs = trial.run(sample)
        if outputs is None:
            raise SettingsError("the model refuses the sample; give it rows that it can predict with --sample")
        return replace(ranked, sample=sample), outputs
    if metadata.sample is not None:
        return metadata, trial.run(metadata.sample) or {}
    if files.folder is not None:  # registration has already searched for a sample
        return metadata, {}
    return find_sample(metadata, trial, [spec.name for spec in metadata.inputs if spec.name in free])


def _ranked_by(sample: Sample, metadata: ModelMetadata, free: frozenset[str]) -> ModelMetadata:
    """`metadata` in which inputs of any rank get the rank of their array in the sample; 2 if it is not an array."""
    if not isinstance(sample, Mapping):
        return metadata
    ranks = {name: getattr(value, "ndim", 2) for name, value in sample.items() if name in free}
    inputs = [replace(spec, shape=(-1,) * ranks[spec.name]) if spec.name in ranks else spec for spec in metadata.inputs]
    return replace(metadata, inputs=tuple(inputs))


def _with_shape(spec: TensorSpec, value: Array | None, free: frozenset[str]) -> TensorSpec:
    """`spec` with the actual shape of the output, if the graph declares no shape or a different one."""
    if value is None or (spec.name not in free and _agree(spec.shape, value.shape)):
        return spec
    return replace(spec, shape=tuple(-1 if axis == 0 or spec.name in free else size
                                     for axis, size in enumerate(value.shape)))  # fmt: skip


def _with_sizes(spec: TensorSpec, value: Array | None) -> TensorSpec:
    """`spec` with the actual sizes of the output; only its first axis stays variable."""
    return spec if value is None or value.ndim < 2 else replace(spec, shape=(-1, *value.shape[1:]))


def _agree(declared: Sequence[int], real: Sequence[int]) -> bool:
    return len(declared) == len(real) and all(size in (-1, there) for size, there in zip(declared, real, strict=True))
