"""ImageDecoder: every common file becomes the pixels it shows, and no file does harm."""

from __future__ import annotations

import asyncio
import base64
import struct
import sys
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlpatterns import (
    Batcher,
    CompositionError,
    DataCache,
    DeadlineExceeded,
    ImageDecoder,
    InvalidInput,
    MissingExtra,
    NotStarted,
    Pipeline,
    PredictionCache,
    PredictionError,
    TensorSpec,
    TooLarge,
    running,
)
from mlpatterns.metadata import Array
from mlpatterns.models.image import image_decoder
from mlpatterns.testing import CountingModel, FakeClock, request
from mlpatterns.testing.digit_images import digit_images
from mlpatterns.training.digits import ZERO

GREY, COLOUR = TensorSpec("pixels", "FP32", (-1, 16)), TensorSpec("pixels", "FP32", (-1, 3, 4, 4))


def file(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    made = BytesIO()
    image.save(made, format, **options)
    return made.getvalue()


def scene(mode: str = "RGB", side: int = 4) -> Image.Image:
    """Red above, green below, with a white corner at the top left."""
    image = Image.new("RGB", (side, side), "red")
    image.paste("lime", (0, side // 2, side, side))
    image.paste("white", (0, 0, side // 4, side // 4))
    return image if mode == "RGB" else image.convert(mode)


def asked(*files: bytes, **fields: Any) -> Any:
    return request({"image": np.array([[one] for one in files], dtype=object)}, **fields)


def decode(*files: bytes, spec: TensorSpec = GREY, **options: Any) -> Array:
    async def work() -> Array:
        async with running(decoder := ImageDecoder(spec, **options)):
            return (await decoder.predict(asked(*files))).outputs["pixels"]

    return asyncio.run(work())


def refused(*files: bytes, error: type[PredictionError] = InvalidInput, **options: Any) -> str:
    with pytest.raises(error) as caught:
        decode(*files, **options)
    return caught.value.message


# ---- what a file shows -------------------------------------------------------------------------------------------


def test_a_digit_sent_as_png_is_the_row_that_the_model_was_trained_on() -> None:
    spec = TensorSpec("pixels", "FP32", (-1, 64))
    ((data, _),) = digit_images(1)
    ((large, _),) = digit_images(1, side=800)
    rows = decode(data, large, image_decoder.SAMPLE, spec=spec)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows[2] * 16, ZERO, atol=0.04)
    np.testing.assert_array_equal(rows[0], rows[1])


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_every_format_is_decoded(format: str) -> None:
    pixels = decode(file(scene(side=64), format), spec=COLOUR)
    assert pixels.shape == (1, 3, 4, 4)
    np.testing.assert_allclose(pixels[0, :, 1, 2], [1, 0, 0], atol=0.06)
    np.testing.assert_allclose(pixels[0, :, 3, 2], [0, 1, 0], atol=0.06)


@pytest.mark.parametrize(
    ("mode", "format"),
    [("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG"),
     ("L", "JPEG"), ("RGB", "JPEG"), ("CMYK", "JPEG"), ("P", "GIF"), ("RGBA", "WEBP"), ("1", "BMP"), ("P", "BMP")],
)  # fmt: skip
def test_every_mode_shows_the_same_shades(mode: str, format: str) -> None:
    shades = Image.fromarray(np.kron(np.array([[0, 255], [255, 0]], np.uint8), np.ones((32, 32), np.uint8)))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(shades).astype(np.uint16) * 257)
    else:
        image = shades.convert("RGB").convert(mode) if mode in ("P", "CMYK") else shades.convert(mode)
    found = decode(file(image, format)).reshape(4, 4)
    np.testing.assert_allclose(found, np.kron([[0, 1], [1, 0]], np.ones((2, 2))), atol=0.02)


def test_sixteen_bits_of_grey_keep_their_shade() -> None:
    found = decode(file(Image.fromarray(np.full((9, 9), 0x8080, np.uint16))))
    np.testing.assert_allclose(found, 128 / 255, atol=1e-6)


@pytest.mark.parametrize(("background", "shade"), [("black", 0.0), ("white", 1.0)])
@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "RGB", "WEBP"])
def test_the_background_shows_through_what_is_transparent(kind: str, background: Any, shade: float) -> None:
    if kind in ("RGBA", "WEBP"):
        data = file(Image.new("RGBA", (8, 8), (9, 200, 7, 0)), "PNG" if kind == "RGBA" else kind)
    elif kind == "LA":
        data = file(Image.new("LA", (8, 8), (200, 0)))
    else:
        image = Image.new(kind, (8, 8), 7 if kind == "P" else (200, 100, 50))
        if kind == "P":
            image.putpalette([value for shade in range(256) for value in (shade, 99, 200)])
        data = file(image, transparency=7 if kind == "P" else (200, 100, 50))
    np.testing.assert_allclose(decode(data, background=background), shade)


def test_half_transparent_pixels_are_mixed_and_invisible_colours_do_not_bleed() -> None:
    half = file(Image.new("RGBA", (4, 4), (255, 255, 255, 128)))
    np.testing.assert_allclose(decode(half, background="black"), 0.5, atol=0.01)
    image = Image.new("RGBA", (8, 8), (0, 255, 0, 0))  # invisible green
    image.paste((255, 0, 0, 255), (0, 0, 8, 4))
    found = decode(file(image), spec=TensorSpec("pixels", "FP32", (-1, 3, 1, 1)), background="black")
    np.testing.assert_allclose(found.ravel(), [0.5, 0, 0], atol=0.01)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_turned_upright_as_its_exif_says(turn: int, format: str) -> None:
    """Held against Pillow's own reading of the tag, on an image that is wider than high."""
    from PIL import ImageOps

    image = Image.new("RGB", (48, 24), "black")
    image.paste("white", (0, 0, 12, 6))
    image.paste("gray", (36, 0, 48, 6))
    exif = Image.Exif()
    exif[0x0112] = turn
    data = file(image, format, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    np.testing.assert_allclose(decode(data), decode(file(upright)), atol=0.03)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_there_is_not_is_upright(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    np.testing.assert_array_equal(decode(file(scene(), exif=exif)), decode(file(scene())))


def test_damaged_exif_does_not_spoil_the_image() -> None:
    data = file(scene(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode(data), decode(file(scene(), "JPEG")))


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("L", (8, 8), shade) for shade in (255, 0, 0)]
    for kind in ("GIF", "WEBP", "PNG"):
        data = file(frames[0], kind, save_all=True, append_images=frames[1:])
        np.testing.assert_allclose(decode(data), 1.0, atol=0.01)


def test_base64_is_taken_too_because_json_of_oip_has_no_bytes() -> None:
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP"):
        data = file(scene(), kind)
        np.testing.assert_array_equal(decode(base64.b64encode(data)), decode(data))
    refused(b"iVBORw0KGgo, and then something else")


# ---- what the model takes ----------------------------------------------------------------------------------------


def test_pixels_are_scaled_as_the_model_was_trained() -> None:
    data = file(Image.new("RGB", (4, 4), (255, 0, 51)))
    scaled = decode(data, spec=COLOUR, mean=(0.5, 0.5, 0.2), std=(0.5, 0.25, 1))
    np.testing.assert_allclose(scaled[0, :, 0, 0], [1, -2, 0], atol=1e-6)
    last = decode(data, spec=TensorSpec("pixels", "FP64", (-1, 4, 4, 3)), mean=1.0)
    np.testing.assert_allclose(last[0, 0, 0], [0, -1, -0.8])
    whole = decode(data, spec=TensorSpec("pixels", "UINT8", (-1, 4, 4, 3)))
    assert whole.dtype == np.uint8
    assert whole[0, 0, 0].tolist() == [255, 0, 51]
    assert decode(data, spec=TensorSpec("pixels", "FP16", (-1, 3, 4, 4))).dtype == np.float16


def test_a_model_without_sizes_gets_those_that_are_asked_for() -> None:
    spec = TensorSpec("pixels", "FP32", (-1, 3, -1, -1))
    assert decode(file(scene()), spec=spec, size=(5, 6)).shape == (1, 3, 5, 6)
    with pytest.raises(CompositionError, match="give size="):
        decode(file(scene()), spec=spec)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"background": "red"}, "one of black, white"), ({"resample": "best"}, "one of box"), ({"std": 0}, "std"),
     ({"max_pixels": 10**9}, "max_pixels at most"), ({"max_bytes": 0}, "greater than 0"),
     ({"max_batch_size": 0}, "greater than 0"), ({"mean": (1, 2)}, "each of 1 channels")],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options: Mapping[str, Any], words: str) -> None:
    with pytest.raises(CompositionError, match=words):
        decode(b"", **options)


def test_scaled_integers_are_refused() -> None:
    with pytest.raises(CompositionError, match="float pixels"):
        decode(b"", spec=TensorSpec("pixels", "UINT8", (-1, 4, 4, 3)), mean=0.5)


def test_it_goes_in_front_of_a_model_and_shows_what_it_takes() -> None:
    async def work() -> None:
        decoder = ImageDecoder(TensorSpec("input", "FP32", (-1, 64)))
        with pytest.raises(NotStarted):
            _ = decoder.metadata
        async with running(whole := Pipeline(decoder, CountingModel())):
            described = whole.metadata
            assert (described.inputs[0].content, described.max_batch_size) == ("image", 64)
            assert described.sample is not None
            answer = await whole.predict(request(described.sample))
            np.testing.assert_allclose(answer.outputs["probabilities"], [[sum(ZERO) / 16]], atol=0.1)
            assert whole.identity() is not None

    asyncio.run(work())


def test_its_identity_is_of_all_that_decides_the_pixels() -> None:
    async def identity(spec: TensorSpec, **options: Any) -> str | None:
        async with running(decoder := ImageDecoder(spec, **options)):
            return decoder.identity()

    async def work() -> None:
        same = await identity(GREY)
        assert same == await identity(GREY, max_pixels=10, max_bytes=10, sample=b"another")
        others = [
            await identity(COLOUR), await identity(GREY, mean=0.5), await identity(GREY, std=0.5),
            await identity(GREY, background="white"), await identity(GREY, resample="bilinear"),
        ]  # fmt: skip
        assert len({same, *others}) == 6

    asyncio.run(work())


def test_without_pillow_the_start_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_decoder, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"mlpatterns\[image\]"):
        decode(b"")


# ---- limits ------------------------------------------------------------------------------------------------------


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header claims a huge image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 9999)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(5001, 5000), (10_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_too_large_before_it_is_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlpatterns.models.image.image_decoder.pixels", lambda *_: pytest.fail("it was decoded"))
    assert "pixels, but only 25000000 are allowed" in refused(bomb(*size), error=TooLarge)


def test_the_limits_are_those_that_were_set() -> None:
    data = file(scene(side=20))
    assert decode(data, max_pixels=400).shape == (1, 16)
    assert refused(data, error=TooLarge, max_pixels=399) == "the image has 20x20 pixels, but only 399 are allowed"
    assert refused(data, error=TooLarge, max_bytes=len(data) - 1).startswith(f"the image has {len(data)} bytes")
    assert decode(base64.b64encode(data), max_bytes=len(data)).shape == (1, 16)
    for sent in (base64.b64encode(data), data + bytes(len(data)), b"iVBOR" * len(data)):
        assert refused(sent, error=TooLarge, max_bytes=len(data) - 1).endswith(f"but only {len(data) - 1} are allowed")
    assert "at once" in refused(data, data, max_batch_size=1)


def test_a_byte_of_a_png_that_changed_on_its_way_is_noticed() -> None:
    good = file(scene())
    for place in range(good.index(b"IDAT") + 4, len(good) - 12):
        bad = bytearray(good)
        bad[place] ^= 1
        assert refused(bytes(bad)).startswith("the image is ")
    assert refused(good[:-12]) == "the image is damaged or cut off; send it again"
    text = good[:-12] + b"\0\0\0\1tEXtx\0\0\0\0" + good[-12:]  # what the pixels do not need may be damaged
    assert (decode(text) == decode(good)).all()


def test_the_image_that_cannot_be_used_is_named() -> None:
    good = file(scene())
    assert refused(good, b"no image", good) == (
        "image 2 of 3 is not an image that can be read; send PNG, JPEG, WEBP, GIF or BMP"
    )
    assert refused(good, good[:60]) == "image 2 of 2 is damaged or cut off; send it again"
    assert refused(good, good, bomb(9000, 9000), error=TooLarge).startswith("image 3 of 3 has 9000x9000 pixels")


@pytest.mark.parametrize(
    ("around", "sentence"),
    [
        (PredictionCache, "image 2 of 3 is damaged or cut off; send it again"),
        (Batcher, "image 2 of 3 is damaged or cut off; send it again"),
        (DataCache, "row 2 of 3: the image is damaged or cut off; send it again"),
    ],
)
def test_an_image_keeps_the_number_that_its_caller_gave_it_whatever_is_around_the_decoder(
    around: Callable[[Any], Any], sentence: str
) -> None:
    good, bad = file(scene()), file(scene())[:60]

    async def work() -> None:
        async with running(decoder := around(ImageDecoder(GREY))):
            both = asyncio.create_task(decoder.predict(asked(good, good)))
            with pytest.raises(InvalidInput) as caught:
                await decoder.predict(asked(good, bad, good))
            assert str(caught.value) == sentence
            assert len((await both).outputs["pixels"]) == 2

    asyncio.run(work())


@pytest.mark.parametrize("format", ["TIFF", "PPM", "ICO", "TGA", "PCX", "PDF", "EPS"])
def test_other_formats_are_refused_whatever_pillow_reads(format: str) -> None:
    assert "not an image that can be read" in refused(file(scene(), format))


def test_a_request_that_is_no_list_of_images_is_invalid() -> None:
    async def work() -> None:
        async with running(decoder := ImageDecoder(GREY)):
            with pytest.raises(InvalidInput, match="'image' is missing"):
                await decoder.predict(request([[1.0]]))
            with pytest.raises(InvalidInput, match="no output 'z'; the only output is pixels"):
                await decoder.predict(asked(file(scene()), outputs=("z",)))
            with pytest.raises(InvalidInput, match="not 0"):
                await decoder.predict(request({"image": np.empty((0, 1), object)}))

    asyncio.run(work())


# ---- where it is decoded -----------------------------------------------------------------------------------------


def test_large_images_leave_the_event_loop_and_few_of_them_are_decoded_at_once() -> None:
    small, medium, large = file(scene()), file(scene(side=1000)), file(scene(side=2100))
    at_once = most = 0

    async def work() -> None:
        nonlocal at_once, most
        async with running(decoder := ImageDecoder(GREY)):
            runtime, rows, threads = decoder._runtime, decoder._rows, list[str]()

            class Counting:
                clock = runtime.clock

                async def offload(self, work: Callable[[], Any]) -> Any:
                    threads.append("hop")
                    return await runtime.offload(work)

            def counted(*arguments: Any) -> Array:
                nonlocal at_once, most
                at_once += 1
                most = max(most, at_once)
                try:
                    return rows(*arguments)
                finally:
                    at_once -= 1

            decoder._runtime, decoder._rows = Counting(), counted  # type: ignore[assignment, method-assign]
            await decoder.predict(asked(small))
            assert threads == []
            await decoder.predict(asked(medium))
            assert threads  # its header, or its pixels, or both
            await asyncio.gather(*[decoder.predict(asked(large)) for _ in range(6)])
            assert most <= image_decoder.LARGE_AT_ONCE

    asyncio.run(work())


def test_an_image_whose_turn_comes_too_late_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr("mlpatterns.models.image.image_decoder.pixels", lambda *_: pytest.fail("it was decoded"))

    async def work() -> None:
        async with running(decoder := ImageDecoder(GREY), clock=clock):
            with pytest.raises(DeadlineExceeded):
                await decoder.predict(asked(file(scene(side=500)), deadline=clock.monotonic()))

    asyncio.run(work())


# ---- whatever is sent --------------------------------------------------------------------------------------------


SEEDS = [
    file(scene(mode, side=12), kind)
    for mode, kind in [("RGB", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("RGB", "JPEG"), ("CMYK", "JPEG"), ("P", "GIF"),
                         ("RGB", "WEBP"), ("RGB", "BMP")]
]  # fmt: skip
changes = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200) | st.sampled_from(SEEDS).flatmap(lambda seed: st.binary(max_size=99).map(seed[:60].__add__))
)
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    answered_or_refused(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), changes, st.integers(0, 40))
def test_damaged_files_are_decoded_or_refused(seed: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(seed)
    for place, value in changes:
        data[place % len(data)] = value
    answered_or_refused(bytes(data[: len(data) - cut]))


def answered_or_refused(data: bytes) -> None:
    from mlpatterns.models.image.layout import layout_of
    from mlpatterns.models.image.pixels import ImageLimits, opened, pixels, prepare

    prepare()
    layout = layout_of(COLOUR)
    with suppress(InvalidInput, TooLarge):
        found = pixels(opened(data, "it", ImageLimits(10_000, 10_000)), "it", layout, "black", "box")
        assert found.shape == (4, 4, 3)
        assert found.dtype == np.uint8


def test_pillow_is_not_imported_before_it_is_needed() -> None:
    import subprocess

    code = "import sys, mlpatterns; mlpatterns.ImageDecoder('digits_fast'); print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
