"""The preprocessing: from image files to the rows that the model takes."""

from __future__ import annotations

import struct
import zlib

import images
import numpy as np
import pytest
from conftest import base64, png
from PIL import Image

from mlpatterns import InvalidInput


def rows(*files: bytes) -> np.ndarray:
    return images.pixels(None, {"image": np.array([[file] for file in files], dtype=object)})["pixels"]


def bomb(width: int, height: int) -> bytes:
    """A PNG of about a hundred bytes that claims this width and height."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_black_is_0_and_white_is_16():
    assert (rows(png(Image.new("L", (8, 8), 0))) == 0).all()
    assert (rows(png(Image.new("L", (8, 8), 255))) == 16).all()


def test_every_image_becomes_a_row_of_64_float32_in_order():
    found = rows(*[png(Image.new("L", (size, size + 1), shade)) for size, shade in ((8, 51), (1, 102), (100, 153))])
    assert (found.shape, found.dtype) == ((3, 64), np.float32)
    assert np.allclose(found, np.array([[3.2], [6.4], [9.6]]))


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "LA"])
def test_every_mode_of_a_png_is_read(mode):
    assert (rows(png(Image.new("L", (8, 8), 255).convert(mode))) == 16).all()


def test_what_is_transparent_is_background():
    assert (rows(png(Image.new("RGBA", (8, 8), (255, 255, 255, 0)))) == 0).all()


def test_base64_is_read_too_as_json_has_no_bytes():
    file = png(Image.new("L", (8, 8), 255))
    assert (rows(base64(file).encode()) == rows(file)).all()


@pytest.mark.parametrize("size", [(2001, 2000), (3000, 3000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_an_image_that_claims_too_many_pixels_is_refused_unread(size):
    with pytest.raises(InvalidInput, match="image 1 of 1 has more than 4000000 pixels"):
        rows(bomb(*size))


def test_an_image_with_less_data_than_it_claims_is_refused():
    with pytest.raises(InvalidInput, match="image 1 of 1 is not a PNG file, or is damaged"):
        rows(bomb(8, 8))


def test_sixteen_bits_a_pixel_are_refused_and_not_cut_off():
    with pytest.raises(InvalidInput, match="send 8"):
        rows(png(Image.new("I;16", (8, 8), 40_000)))


def test_other_formats_are_refused():
    with pytest.raises(InvalidInput, match="not a PNG"):
        rows(
            b"GIF89a\x08\x00\x08\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x08\x00\x08\x00\x00\x02\x00;"
        )
