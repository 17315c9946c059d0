"""The forest's thresholds without the scaling: the same answer for every float32, not only for those in the data."""

from __future__ import annotations

import io

import numpy as np
import onnx
from hypothesis import given
from hypothesis import strategies as st

from mlpatterns.training.contents import input_of
from mlpatterns.training.forest import export_forest, unscaled
from mlpatterns.training.iris import FOREST

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def scaled(x: np.ndarray, mean: float, scale: float) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(((x.astype(np.float64) - mean) / scale).astype(np.float32))


@given(FLOATS, st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.lists(FLOATS, max_size=20))
def test_a_value_is_at_most_the_new_threshold_just_when_its_scaled_value_is_at_most_the_old(
    threshold: float, mean: float, scale: float, values: list[float]
) -> None:
    old = np.array([threshold], np.float32)
    (new,) = unscaled(old, np.array([mean]), np.array([scale]))
    with np.errstate(over="ignore", under="ignore"):
        near = [new, np.nextafter(new, np.float32(np.inf)), np.nextafter(new, np.float32(-np.inf)), 0.0, -0.0, *values]
    x = np.array(near, np.float32)
    np.testing.assert_array_equal(x <= new, scaled(x, mean, scale) <= old)


def test_the_graph_is_one_node() -> None:
    data = FOREST.load()
    fitted = FOREST.estimator(0).fit(data.x, data.y)
    exported = onnx.load(io.BytesIO(export_forest(fitted, input_of(data), FOREST.outputs, name="forest")))
    assert [node.op_type for node in exported.graph.node] == ["TreeEnsembleClassifier"]
