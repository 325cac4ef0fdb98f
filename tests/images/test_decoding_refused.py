"""Tests of decoding.py: unsupported, damaged and hostile files are refused in one line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from fixtures.common.errors import UserError
from fixtures.images import decoding
from fixtures.images.decoding import UnreadableImage
from tests.helpers.drawn import FORMATS, picture, quarters


def unreadable(path: Path) -> str:
    """The reason why a file is refused."""
    with pytest.raises(UnreadableImage) as caught:
        decoding.open_rgb(path)
    assert str(caught.value) == f"image {path}: {caught.value.reason}" and "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_file(tmp_path, name):
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    assert "truncated, damaged" in unreadable(tmp_path / name) or "header is damaged" in unreadable(tmp_path / name)


@pytest.mark.parametrize(
    "content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"GIF89a"]
)
def test_file_that_is_not_an_image(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    assert "not a JPEG, PNG, WebP, BMP or TIFF image" in unreadable(tmp_path / "a.jpg")


def test_other_formats_are_refused_even_under_a_known_extension(tmp_path):
    picture(tmp_path / "a.jpg", format="GIF")
    assert "not a JPEG" in unreadable(tmp_path / "a.jpg")


def test_absent_file_and_folder(tmp_path):
    assert unreadable(tmp_path / "a.jpg") == "no such file"
    (tmp_path / "b.jpg").mkdir()
    assert "IsADirectoryError" in unreadable(tmp_path / "b.jpg")


def test_wrong_permissions(tmp_path, monkeypatch):
    def denied(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", denied)  # Root, as which tests may run, can read everything.
    assert unreadable(picture(tmp_path / "a.jpg")) == "no permission to read it"


def bomb(path: Path, width: int, height: int) -> Path:
    """A BMP header that claims this size, with no pixels."""
    import struct

    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    path.write_bytes(b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header)
    return path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("width, height", [(10_001, 10_000), (30_000, 30_000)])
def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch, width, height):
    def load(image: Any) -> None:
        raise AssertionError("a decompression bomb was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert "more than 100 million pixels" in unreadable(bomb(tmp_path / "a.bmp", width, height))


def announced(path: Path, size: int) -> Path:
    """A valid small image in this extension's format, whose header claims `size` for both sides."""
    import struct
    import zlib

    kind = path.suffix
    data = bytearray(picture(path, size=(16, 12)).read_bytes())
    if kind == ".png":  # The first chunk, IHDR, from byte 12 on; its checksum at 29 (PNG, section 11.2.2).
        data[16:24] = struct.pack(">II", size, size)
        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    elif kind == ".jpg":  # Height and width of the frame header, five bytes behind its marker (JPEG, B.2.2).
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", size, size)
    elif kind == ".tif":  # ImageWidth and ImageLength of the first directory: tags 256 and 257 (TIFF 6.0).
        (first,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, first)
        for entry in range(first + 2, first + 2 + 12 * count, 12):
            if struct.unpack_from("<H", data, entry)[0] in (256, 257):
                data[entry : entry + 12] = struct.pack("<HHII", *struct.unpack_from("<H", data, entry), 4, 1, size)
    else:  # A canvas of that size, less one, in an extended header (WebP container, VP8X); the frame stays small.
        canvas = struct.pack("<I", size - 1)[:3]
        data[12:12] = b"VP8X" + struct.pack("<II", 10, 0) + canvas + canvas
        data[4:8] = struct.pack("<I", len(data) - 8)
    path.write_bytes(data)
    return path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [10_001, 16_000, 60_000])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_a_small_file_that_claims_a_huge_size_is_refused_before_it_is_decoded(tmp_path, monkeypatch, name, size):
    path = announced(tmp_path / name, size)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("a decompression bomb was decoded"))
    reason = unreadable(path)
    # libwebp refuses a frame that does not fill its canvas.
    refused = ("could not create decoder object", "not a JPEG, PNG, WebP") if name == "a.webp" else ()
    assert any(text in reason for text in ("more than 100 million pixels", *refused)), reason


def test_largest_size_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 16 * 12)
    assert decoding.open_rgb(picture(tmp_path / "a.png")).size == (16, 12)
    assert "16×13 is more than" in unreadable(picture(tmp_path / "b.png", size=(16, 13)))


def test_thin_strip_that_resizing_would_make_huge_is_refused(tmp_path):
    assert decoding.open_rgb(picture(tmp_path / "a.png", size=(100, 1))).size == (100, 1)
    assert "101×1: one side is more than 100 times the other" in unreadable(picture(tmp_path / "b.png", size=(101, 1)))


def test_floating_point_pixels_are_refused(tmp_path):
    assert "floating-point" in unreadable(picture(tmp_path / "a.tif", 0.5, mode="F"))


def test_unreadable_image_survives_pickling():
    error = pickle.loads(pickle.dumps(UnreadableImage(Path("a\n.jpg"), "gone")))
    assert isinstance(error, UserError) and str(error) == "image a\\n.jpg: gone" and error.reason == "gone"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_bytes_give_an_image_or_one_line_and_never_a_traceback(tmp_path, monkeypatch, name):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 1_000_000)  # Damaged headers claim any size.
    random = np.random.RandomState(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    quarters().save(tmp_path / name, **({} if name == "d.bmp" else {"exif": exif}))
    sound = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
    outcomes = set()
    for _ in range(200):
        damaged = sound.copy()
        where = random.randint(0, min(len(sound), 256), 3)  # the headers
        damaged[where] = random.randint(0, 256, 3)
        (tmp_path / name).write_bytes(damaged.tobytes())
        try:
            outcomes.add(decoding.open_rgb(tmp_path / name).mode)
        except UnreadableImage as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes and outcomes <= {"RGB", "refused"}
