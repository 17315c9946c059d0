"""ImageDecoder: decodes image files to the pixels that a model expects."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, get_args

import msgspec
import numpy as np

from mlpatterns.errors import DeadlineExceeded, InvalidInput
from mlpatterns.metadata import Array, ModelMetadata, TensorSpec
from mlpatterns.models.files import find_model_files
from mlpatterns.models.image.layout import Layout, layout_of
from mlpatterns.models.image.pixels import MOST_PIXELS, Background, ImageLimits, Resample, opened, pixels, prepare
from mlpatterns.models.leaf import LeafPredictor
from mlpatterns.models.onnx.graph import describe
from mlpatterns.models.onnx.options import SessionConfig
from mlpatterns.models.onnx.session import open_session
from mlpatterns.predictor import InferenceRequest, InferenceResponse, Runtime
from mlpatterns.references import Reference, parse_reference
from mlpatterns.registry.files import ModelFiles
from mlpatterns.settings import Settings
from mlpatterns.user_errors import CompositionError, MissingExtra

__all__ = ["ImageDecoder"]

CODE = "decoded 1"  # change it when the decoding below or in pixels.py changes, so that no cache mixes old and new rows
SMALL_BYTES, SMALL_PIXELS = 4096, 64 * 64  # limits for a request that is decoded on the event loop
PACKED = (b"zTXt", b"iTXt", b"iCCP")  # PNG chunks that are decompressed before the pixels, and may grow a thousandfold
LARGE_PIXELS, LARGE_AT_ONCE = 4_000_000, 2  # two requests with larger images are decoded at a time, to limit memory

# A handwritten 0 of 8x8 pixels: the first image of scikit-learn's digits, as a PNG.
SAMPLE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAARklEQVR42gXBYRVAMBgAwHt7/vsiaGCaLIJGIqyCBp4EI4E1III7lLYFaG99i0Ge"
    "lh55T+LqbpI4GUm+WeQP01PqAdZW8QOg+BHx1aT2vAAAAABJRU5ErkJggg=="
)

File = tuple[bytes, str]  # the bytes, and the name of the image in error texts
Opened = tuple[Any, str]


class ImageDecoder(LeafPredictor):
    """PNG, JPEG, WebP, GIF (its first frame) and BMP files, of any size and colour mode, as rows of a model's input.

    The input is files, BYTES [n, 1], or their base64; the output is the input of the model. Put it before the model:
    ``Pipeline(ImageDecoder("digits_fast"), OnnxModel("digits_fast"))``. Each image is turned upright by its EXIF
    orientation, resized to the model's size without keeping its proportions, and converted to grey or RGB. Float pixels
    are from 0 to 1.

    Args:
        target: the reference of the model, or the TensorSpec of its input. The shape is [n, side * side],
            [n, height, width], [n, channels, height, width] or [n, height, width, channels].
        size: height and width, where the shape of the model leaves them variable.
        mean, std: float pixels become (pixel - mean) / std; a number, or one for each channel.
        background: the colour behind transparent pixels.
        resample: Pillow's name of the resampling filter.
        max_bytes: the maximum size of one file in bytes.
        max_pixels: the maximum number of pixels of one image; checked before decoding. An image of 25 million pixels
            needs up to 0.5 GB of memory.
        max_batch_size: the maximum number of images in one request.
        sample: an image file for the documentation; by default a handwritten digit of 8x8 pixels.

    Raises:
        CompositionError: at construction or at start: the model takes no images.
        MissingExtra: at start: Pillow is not installed.
        UnknownName, ModelFileError: at start: there is no such model.
        TooLarge: in `predict`: a file or an image is too large; the error text names it.
        InvalidInput: in `predict`: a file is not an image, is damaged or is cut off; the error text names it.
    """

    def __init__(
        self,
        target: str | Reference | TensorSpec,
        *,
        size: tuple[int, int] | None = None,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        background: Background = "black",
        resample: Resample = "box",
        max_bytes: int = 32 * 2**20,
        max_pixels: int = 25_000_000,
        max_batch_size: int = 64,
        sample: bytes = SAMPLE,
        name: str = "image",
    ) -> None:
        super().__init__(name)
        if not (0 < max_pixels <= MOST_PIXELS and max_bytes > 0 and max_batch_size > 0):
            raise CompositionError(
                f"the limits of {name!r} must be greater than 0, and max_pixels at most {MOST_PIXELS}"
            )
        for value, known in ((background, Background), (resample, Resample)):
            if value not in get_args(known):
                raise CompositionError(f"{name!r}: {value!r} must be one of {', '.join(get_args(known))}")
        self.target = parse_reference(target) if isinstance(target, str) else target
        self.reference: Reference | None = None if isinstance(self.target, TensorSpec) else self.target
        self.size, self.background, self.resample, self.sample = size, background, resample, sample
        self.mean, self.std = np.atleast_1d(mean).astype(np.float64), np.atleast_1d(std).astype(np.float64)
        if not self.std.all():
            raise CompositionError(f"std of {name!r} must not be 0")
        self.limits, self.max_batch_size = ImageLimits(max_bytes, max_pixels), max_batch_size

    async def start(self, runtime: Runtime) -> None:
        if find_spec("PIL") is None:
            raise MissingExtra("an ImageDecoder", "image")
        self._runtime = runtime
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        spec = await self._target_spec(runtime)
        self._layout = layout = layout_of(spec, self.size)
        self._check(layout)
        version = await runtime.offload(prepare)
        self._identity = self._digest(spec, version)
        images = TensorSpec(self.name, "BYTES", (-1, 1), content="image")
        sample = {self.name: np.array([[self.sample]], dtype=object)}
        self._metadata = ModelMetadata(
            self.name, "1", "image", (images,), (spec,), spec.name, sample=sample, max_batch_size=self.max_batch_size
        )

    async def stop(self) -> None:
        self._metadata = self._identity = None

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        metadata, offload = self.metadata, self._runtime.offload
        files = self._named(request)
        if small := _are_small([data for data, _ in files]):
            images = self._opened(files)
        else:
            images = await offload(lambda: self._opened(files))
        sizes = [image.width * image.height for image, _ in images]
        if small and sum(sizes) <= SMALL_PIXELS:
            rows = self._rows(images, None)
        elif max(sizes) <= LARGE_PIXELS:
            rows = await offload(lambda: self._rows(images, request.deadline))
        else:
            async with self._large:
                rows = await offload(lambda: self._rows(images, request.deadline))
        return InferenceResponse({metadata.primary_output: rows}, self.name, metadata.version, self._identity)

    # ---- decoding ----

    def _named(self, request: InferenceRequest) -> list[File]:
        """The files of a request, each with its name in error texts."""
        if self.name not in request.inputs:
            raise InvalidInput(f"the input {self.name!r} is missing")
        for asked in request.outputs:
            if asked != self.metadata.primary_output:
                raise InvalidInput(f"there is no output {asked!r}; the only output is {self.metadata.primary_output}")
        files = request.inputs[self.name].ravel().tolist()
        if not 0 < len(files) <= self.max_batch_size:
            raise InvalidInput(f"one to {self.max_batch_size} images can be sent at once, not {len(files)}")
        if len(files) == 1:
            return [(files[0], "the image")]
        return [(data, f"image {row} of {len(files)}") for row, data in enumerate(files, 1)]

    def _opened(self, files: Sequence[File]) -> list[Opened]:
        return [(opened(data, which, self.limits), which) for data, which in files]

    def _rows(self, images: list[Opened], deadline: float | None) -> Array:
        """The rows of the model's input. To save memory, each image is released when its row is made."""
        layout = self._layout
        rows = np.empty((len(images), *layout.shape), layout.dtype)
        for place in range(len(images)):
            if deadline is not None and self._runtime.clock.monotonic() >= deadline:
                raise DeadlineExceeded
            image, which = images.pop(0)
            found = pixels(image, which, layout, self.background, self.resample)
            rows[place] = layout.arranged(self._scaled(found) if layout.dtype.kind == "f" else found)
        return rows

    def _scaled(self, found: Array) -> Array:
        return (found / 255 - self.mean) / self.std

    # ---- starting ----

    async def _target_spec(self, runtime: Runtime) -> TensorSpec:
        if isinstance(self.target, TensorSpec):
            return self.target
        files = await find_model_files(self.target, runtime)
        inputs = (await runtime.offload(lambda: _described(files, runtime.settings))).inputs
        if len(inputs) != 1:
            raise CompositionError(
                f"{self.target} takes {len(inputs)} inputs; give the TensorSpec of the one for images"
            )
        return inputs[0]

    def _check(self, layout: Layout) -> None:
        plain = self.mean.size == self.std.size == 1 and not self.mean.any() and bool((self.std == 1).all())
        if {self.mean.size, self.std.size} - {1, layout.channels} or (layout.dtype.kind != "f" and not plain):
            raise CompositionError(
                f"mean and std of {self.name!r} must be one number, or one for each of {layout.channels} channels, and "
                "belong to float pixels"
            )

    def _digest(self, spec: TensorSpec, pillow: str) -> str:
        """SHA-256 of everything that decides the pixels, without the limits, which only decide what is accepted."""
        decides = (CODE, pillow, spec, self.size, self.mean.tolist(), self.std.tolist(), self.background, self.resample)
        return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()


def _are_small(files: Sequence[bytes]) -> bool:
    """Whether the files can be opened so fast that no thread is needed."""
    return sum(map(len, files)) <= SMALL_BYTES and not any(part in data for data in files for part in PACKED)


def _described(files: ModelFiles, settings: Settings) -> ModelMetadata:
    """The metadata of the model, or metadata from its graph if it has none."""
    if files.metadata is not None:
        return files.metadata
    return describe(open_session(files, files.model.name, SessionConfig().within(settings), settings.workers))
