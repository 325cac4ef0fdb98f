"""Tests of decoding.py: every format and mode against known pixels, EXIF rotation, one large image at a time."""

from __future__ import annotations

import threading
import time
from typing import Any, List, Tuple

import numpy as np
import pytest
from PIL import Image

from fixtures.images import decoding
from tests.helpers.drawn import BLUE, FORMATS, GREEN, RED, WHITE, picture, quarters


def corners(image: Image.Image) -> List[Tuple[int, int, int]]:
    """The pixels 4 steps from the corners: top left, top right, bottom left, bottom right."""
    width, height = image.size
    return [image.getpixel((x, y)) for y in (4, height - 5) for x in (4, width - 5)]


def assert_near(got: Any, expected: Any, tolerance: int = 0) -> None:
    """Equal colours, within `tolerance` of 255 where the format is lossy."""
    __tracebackhide__ = True
    worst = np.abs(np.asarray(got, dtype=int) - np.asarray(expected, dtype=int)).max()
    assert worst <= tolerance, f"got {got}, expected {expected}, off by {worst}, tolerance {tolerance}"


def test_large_images_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "LARGE_PIXELS", 63)
    for number, side in enumerate((8, 8, 8, 7)):
        Image.new("RGB", (side, side)).save(tmp_path / f"{number}.png")
    inside, seen = [], []

    def slowly(image):
        inside.append(image.size)
        time.sleep(0.05)
        seen.append(inside.count((8, 8)))
        inside.remove(image.size)
        return image.convert("RGB")

    monkeypatch.setattr(decoding, "_to_rgb", slowly)
    threads = [threading.Thread(target=decoding.open_rgb, args=(path,)) for path in tmp_path.iterdir()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4 and max(seen) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_in_colour(tmp_path, name):
    quarters().save(tmp_path / name, quality=95)
    image = decoding.open_rgb(tmp_path / name)
    assert (image.mode, image.size) == ("RGB", (32, 16))
    assert_near(corners(image), [RED, BLUE, GREEN, WHITE], 0 if name[0] in "bde" else 8)


def test_content_decides_and_not_the_extension(tmp_path):
    picture(tmp_path / "really_png.jpg", RED, format="PNG")
    assert_near(decoding.open_rgb(tmp_path / "really_png.jpg").getpixel((3, 3)), RED)


def test_first_image_of_a_multi_picture_file(tmp_path):
    quarters().save(
        tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", (32, 16))], quality=95
    )
    assert_near(corners(decoding.open_rgb(tmp_path / "a.jpg")), [RED, BLUE, GREEN, WHITE], 8)


@pytest.mark.parametrize("name", ["a.jpg", "b.png", "d.bmp", "e.tiff"])  # WebP knows no grey
def test_grey(tmp_path, name):
    image = decoding.open_rgb(picture(tmp_path / name, 100, mode="L"))
    assert image.mode == "RGB"
    assert_near(image.getpixel((5, 5)), (100, 100, 100))


def test_black_and_white(tmp_path):
    picture(tmp_path / "a.png", 1, mode="1")
    assert_near(decoding.open_rgb(tmp_path / "a.png").getpixel((5, 5)), WHITE)


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk(tmp_path, name):
    picture(tmp_path / name, (0, 255, 255, 0), mode="CMYK", **({"quality": 95} if name == "a.jpg" else {}))
    assert_near(decoding.open_rgb(tmp_path / name).getpixel((5, 5)), RED, 8 if name == "a.jpg" else 0)


@pytest.mark.parametrize("name", ["b.png", "c.webp", "e.tiff"])
@pytest.mark.parametrize("alpha, expected", [(0, WHITE), (255, BLUE), (51, (204, 204, 255))])
def test_alpha_lies_on_white(tmp_path, name, alpha, expected):
    picture(
        tmp_path / name, (*BLUE, alpha), mode="RGBA", **({"lossless": True, "exact": True} if name == "c.webp" else {})
    )
    assert_near(decoding.open_rgb(tmp_path / name).getpixel((5, 5)), expected, 1)


@pytest.mark.parametrize("alpha, expected", [(0, 255), (255, 40), (128, 147)])
def test_grey_with_alpha_lies_on_white(tmp_path, alpha, expected):
    picture(tmp_path / "a.png", (40, alpha), mode="LA")
    assert_near(decoding.open_rgb(tmp_path / "a.png").getpixel((5, 5)), (expected,) * 3, 1)


@pytest.mark.parametrize("transparency, expected", [(None, RED), (0, WHITE), (1, RED), (bytes([51]), (255, 204, 204))])
def test_palette(tmp_path, transparency, expected):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([*RED, *GREEN])
    image.save(tmp_path / "a.png", **({} if transparency is None else {"transparency": transparency}))
    assert_near(decoding.open_rgb(tmp_path / "a.png").getpixel((5, 5)), expected, 1)


@pytest.mark.parametrize("mode, colour", [("RGB", RED), ("L", 76)])
def test_transparent_colour_lies_on_white(tmp_path, mode, colour):
    picture(tmp_path / "a.png", colour, mode=mode, transparency=colour)
    assert_near(decoding.open_rgb(tmp_path / "a.png").getpixel((5, 5)), WHITE)


@pytest.mark.parametrize(
    "value, expected", [(0, 0), (128, 0), (129, 1), (257, 1), (32768, 128), (65406, 254), (65535, 255)]
)
@pytest.mark.parametrize("name, mode", [("a.png", "I;16"), ("a.tif", "I;16"), ("a.tif", "I"), ("b.tif", "I;16B")])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path, name, mode, value, expected):
    pixels = np.full((6, 8), value, {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode])
    Image.frombytes(mode, (8, 6), pixels.tobytes()).save(tmp_path / name)
    with Image.open(tmp_path / name) as stored:
        assert stored.mode.startswith("I"), "the file must hold more than 8 bits"
    assert_near(decoding.open_rgb(tmp_path / name).getpixel((5, 5)), (expected,) * 3)


def test_sixteen_bit_colour(tmp_path):
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" + struct.pack(">3H", 65535, 32896, 0) * 8  # Pillow writes no 16-bit colour, so the file is made by hand
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 8)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    assert_near(decoding.open_rgb(tmp_path / "a.png").getpixel((5, 5)), (255, 128, 0))


# EXIF 2.3, tag 0x0112: for each orientation, the transposition that turns `quarters()` into the stored image.
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "b.png", "c.webp", "e.tiff"])
def test_exif_orientation_is_applied(tmp_path, name, orientation):
    turn_away = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = quarters() if orientation == 1 else quarters().transpose(turn_away[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / name, exif=exif, quality=95)
    image = decoding.open_rgb(tmp_path / name)
    assert image.size == (32, 16)
    assert_near(corners(image), [RED, BLUE, GREEN, WHITE], 0 if name[0] in "be" else 8)


def test_exif_orientation_of_grey_with_sixteen_bits(tmp_path):
    pixels = np.zeros((4, 8), "<u2")
    pixels[0, 0] = 65535
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: top left belongs at the top right
    Image.frombytes("I;16", (8, 4), pixels.tobytes()).save(tmp_path / "a.png", exif=exif)
    image = decoding.open_rgb(tmp_path / "a.png")
    assert image.size == (4, 8)
    assert_near(image.getpixel((3, 0)), WHITE)
