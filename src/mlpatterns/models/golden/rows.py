"""GoldenRows: input rows that are stored on the server, by key: a client sends a key instead of a row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlpatterns.errors import InvalidInput, NotFound
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec
from mlpatterns.models.files import find_model_files
from mlpatterns.models.leaf import LeafPredictor
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Runtime
from mlpatterns.references import Reference, parse_reference
from mlpatterns.registry.golden import golden_inputs

__all__ = ["GoldenRows"]


class GoldenRows(LeafPredictor):
    """The rows of a model's golden set, by their number in four digits: ``"0000"``, ``"0001"``, …

    If the model has no golden set, they are the rows of its sample.

    The input is keys, BYTES [n, 1]; the outputs are the inputs of the model. Put it before the model:
    ``Pipeline(GoldenRows("iris_sklearn_svc"), OnnxModel("iris_sklearn_svc"))``.

    Args:
        reference: the reference of the model.

    Raises:
        UnknownName, ModelFileError: at start: there is no such model, or it has no golden set and no sample.
        NotFound: in `predict`: there is no row with that key.
    """

    what = "row"  # what a key stands for, in error texts

    def __init__(self, reference: str | Reference, *, name: str = "rows") -> None:
        super().__init__(name)
        self.reference: Reference = parse_reference(reference) if isinstance(reference, str) else reference
        self._rows: Mapping[str, Array] = {}

    async def start(self, runtime: Runtime) -> None:
        files = await find_model_files(self.reference, runtime)
        rows, identity = await runtime.offload(lambda: golden_inputs(files))
        assert files.metadata is not None  # without metadata `golden_inputs` raises
        inputs = files.metadata.inputs
        self._rows, outputs, self._identity = await runtime.offload(lambda: self.make_outputs(rows, inputs, identity))
        count = len(next(iter(self._rows.values())))
        self._places = {b"%04d" % place: place for place in range(count)}
        key = TensorSpec("key", "BYTES", (-1, 1), content="key")
        sample = {"key": np.array([[b"0000"]], dtype=object)}
        self._metadata = ModelMetadata(
            self.name, files.version, "rows", (key,), outputs, outputs[0].name, sample=sample
        )

    def make_outputs(
        self, rows: Mapping[str, Array], specs: tuple[TensorSpec, ...], identity: str
    ) -> tuple[Mapping[str, Array], tuple[TensorSpec, ...], str]:
        """The outputs in the order of the keys, their specs and their identity.

        Args:
            rows: the rows of the golden set, by input of the model.
            specs: the inputs of the model.
            identity: the digest of the golden set, or of the metadata with the sample.
        """
        return rows, specs, identity

    async def stop(self) -> None:
        self._metadata = self._identity = None
        self._rows = {}

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        metadata = self.metadata
        if "key" not in request.inputs:
            raise InvalidInput("the input 'key' is missing")
        places = [self._place(key) for key in request.inputs["key"].ravel()]
        for asked in request.outputs:
            if asked not in self._rows:
                raise InvalidInput(f"there is no output {asked!r}; the outputs are {', '.join(self._rows)}")
        outputs = {name: self._rows[name][places] for name in request.outputs or self._rows}
        return InferenceResponse(outputs, self.name, metadata.version, self._identity)

    def _place(self, key: bytes) -> int:
        place = self._places.get(key)
        if place is None:
            shown = key[:64].decode(errors="replace")
            raise NotFound(f"there is no {self.what} {shown!r}; the keys are '0000' to '{len(self._places) - 1:04d}'")
        return place
