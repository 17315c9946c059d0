"""Decodes image files to pixels. The header is checked against the limits before the image is decoded."""

from __future__ import annotations

import base64
import binascii
import warnings
import zlib
from io import BytesIO
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from mlpatterns.errors import InvalidInput, TooLarge
from mlpatterns.metadata import Array
from mlpatterns.models.image.layout import Layout
from mlpatterns.user_errors import MissingExtra

__all__ = [
    "FORMATS",
    "MOST_PIXELS",
    "MOST_SIDE",
    "Background",
    "ImageLimits",
    "Resample",
    "image_file",
    "opened",
    "pixels",
    "prepare",
]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
KINDS = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"  # for error texts
MOST_PIXELS = 89_478_485  # above this number, Pillow itself warns of a decompression bomb
MOST_SIDE = 5000  # the maximum side of an image of GoldenImages, in pixels
MODES = {1: "L", 3: "RGB"}  # Pillow's mode by number of channels
BASE64 = (b"iVBOR", b"/9j/", b"UklGR", b"R0lGOD", b"Qk")  # the first bytes of each of FORMATS in base64
ORIENTATION = 0x0112  # the tag in EXIF (CIPA DC-008, 4.6.5)

Background = Literal["black", "white"]
Resample = Literal["box", "bilinear", "bicubic", "lanczos"]


class ImageLimits(Struct, frozen=True):
    """The limits of one image: bytes of the file, and number of pixels."""

    bytes: int
    pixels: int


def prepare() -> str:
    """Imports Pillow's readers for all FORMATS, so that no request waits for the import. Also silences Pillow's
    warnings about unusual files: otherwise a client could fill the log with them. Returns Pillow's version.
    """
    import PIL
    from PIL import Image, WebPImagePlugin  # noqa: F401 - Pillow loads the others itself

    Image.preinit()
    warnings.filterwarnings("ignore", module=r"PIL\b")
    return PIL.__version__


def opened(data: bytes, which: str, limits: ImageLimits) -> Any:
    """Opens an image file: reads its header and checks it against `limits`. No pixel is decoded yet.

    Args:
        data: the file, or its base64, because the JSON of the Open Inference Protocol has strings, but no bytes.
        which: the name of the image in error texts.

    Raises:
        TooLarge: the file or the image is too large.
        InvalidInput: the file is not an image of FORMATS, or its header is damaged.
    """
    from PIL import Image, UnidentifiedImageError

    file = _file(data) if len(data) <= 2 * limits.bytes else data  # base64 is a third longer
    if len(file) > limits.bytes:
        raise TooLarge(f"{which} has {len(file)} bytes, but only {limits.bytes} are allowed")
    try:
        image = Image.open(BytesIO(file), formats=FORMATS)
        width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many(which, limits) from None
    except UnidentifiedImageError:
        raise InvalidInput(f"{which} is not an image that can be read; send {KINDS}") from None
    except Exception as error:  # for damaged files, Pillow raises errors that have no common base class
        raise _damaged(which) from error
    if width * height > limits.pixels:
        raise _too_many(which, limits, f"{width}x{height}")
    return image


def pixels(image: Any, which: str, layout: Layout, background: Background, resample: Resample) -> Array:
    """The pixels of an image from `opened`, upright and in the layout's size: uint8 [height, width] or
    [height, width, 3].

    Raises:
        InvalidInput: the file is damaged or cut off.
    """
    from PIL import Image

    try:
        if image.format == "PNG" and not _sums_are_right(image.fp.getbuffer()):
            raise _damaged(which)
        turn = _orientation(image)
        size = (layout.width, layout.height) if turn < 5 else (layout.height, layout.width)
        small = _plain(image).resize(size, Image.Resampling[resample.upper()])
        return np.asarray(_upright(_flat(small, background, MODES[layout.channels]), turn))
    except Exception as error:
        raise _damaged(which) from error


def image_file(shades: Array, side: int, format: str = "PNG") -> bytes:
    """An image file of `side` x `side` pixels from shades between 0 (black) and 1 (white).

    Args:
        shades: [height, width] of grey, or [height, width, 3].
        format: Pillow's name of the file format.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("an image file", "image") from error
    image: Any = Image.fromarray((np.clip(shades, 0, 1) * 255).round().astype(np.uint8))
    file = BytesIO()
    image.resize((side, side), Image.Resampling.NEAREST).save(file, format)
    return file.getvalue()


def _sums_are_right(png: memoryview) -> bool:
    """Whether the checksums of the critical PNG chunks, which contain the pixels, are correct. Other checksums are not
    checked."""
    at = 8
    while bytes(png[at + 4 : at + 8]) != b"IEND":
        body = at + 8 + int.from_bytes(png[at : at + 4])
        if body + 4 > len(png):
            return False  # the file is cut off
        needed = png[at + 4] < ord("a")
        if needed and zlib.crc32(png[at + 4 : body]) != int.from_bytes(png[body : body + 4]):
            return False
        at = body + 4
    return True


# ---- steps -------------------------------------------------------------------------------------------------------


def _plain(image: Any) -> Any:
    """The image in a mode whose pixels can be averaged: RGBA if it has transparency, else grey or RGB.

    Pillow weights colours by their opacity when it resizes RGBA, so invisible colours do not mix into visible ones.
    """
    if image.mode.startswith("I"):  # grey of 16 bits, whose pixels cannot be averaged in this mode
        from PIL import Image

        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")


def _flat(image: Any, background: Background, mode: str) -> Any:
    """The image without transparency, in `mode`."""
    if image.mode == "RGBA":
        from PIL import Image

        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return image if image.mode == mode else image.convert(mode)


def _orientation(image: Any) -> int:
    """The EXIF orientation, 1 to 8. It is 1 (upright) if the file has none or an invalid one."""
    try:
        turn = image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 1
    return turn if turn in range(1, 9) else 1


def _upright(image: Any, turn: int) -> Any:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
    }  # fmt: skip
    return image.transpose(turns[turn]) if turn in turns else image


def _file(data: bytes) -> bytes:
    if not data.startswith(BASE64):
        return data
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        return data


def _too_many(which: str, limits: ImageLimits, found: str = "far more") -> TooLarge:
    return TooLarge(f"{which} has {found} pixels, but only {limits.pixels} are allowed")


def _damaged(which: str) -> InvalidInput:
    return InvalidInput(f"{which} is damaged or cut off; send it again")
