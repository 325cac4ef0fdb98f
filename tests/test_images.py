"""Tests of images.py and labels.py: every format against known pixels, every wrong folder, file and label."""

from __future__ import annotations

import os
import pickle
import threading
import time
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np
import pytest
from PIL import Image, ImageFile

from fixtures import decoding, images, labels
from fixtures.decoding import UnreadablePhotograph
from fixtures.errors import UserError
from fixtures.images import Photograph

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
FORMATS = {"a.jpg": "JPEG", "b.png": "PNG", "c.webp": "WEBP", "d.bmp": "BMP", "e.tiff": "TIFF"}


def picture(path: Path, colour: Any = RED, size: Tuple[int, int] = (16, 12), mode: str = "RGB", **options: Any) -> Path:
    """Writes a picture of one colour; the format follows from the extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def quarters() -> Image.Image:
    """32×16: red above green on the left, blue above white on the right, so that each orientation differs."""
    image = Image.new("RGB", (32, 16), WHITE)
    for colour, box in ((RED, (0, 0, 16, 8)), (GREEN, (0, 8, 16, 16)), (BLUE, (16, 0, 32, 8))):
        image.paste(colour, box)
    return image


def corners(image: Image.Image) -> List[Tuple[int, int, int]]:
    """The pixels 4 steps from the corners: top left, top right, bottom left, bottom right."""
    width, height = image.size
    return [image.getpixel((x, y)) for y in (4, height - 5) for x in (4, width - 5)]


def assert_near(got: Any, expected: Any, tolerance: int = 0) -> None:
    """Equal colours, within `tolerance` of 255 where the format is lossy."""
    __tracebackhide__ = True
    worst = np.abs(np.asarray(got, dtype=int) - np.asarray(expected, dtype=int)).max()
    assert worst <= tolerance, f"got {got}, expected {expected}, off by {worst}, tolerance {tolerance}"


def preprocess(image: Image.Image) -> Any:
    """Stands for torchvision's: an RGB image in, float32 3×8×8 out."""
    import torch

    assert image.mode == "RGB"
    return torch.from_numpy(np.array(image.resize((8, 8)), dtype=np.float32)).permute(2, 0, 1)


def refused(folder: Path) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(UserError) as caught:
        images.list_photographs(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def labels_csv(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    """A folder with a.jpg, b.jpg, dog/c.jpg and this labels.csv."""
    for name in ("a.jpg", "b.jpg", "dog/c.jpg"):
        picture(folder / name)
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    return folder


# The bundled photographs


def test_large_pictures_are_decoded_one_at_a_time(tmp_path, monkeypatch):
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


def test_bundled_photographs_are_64_of_which_14_calibrate_and_50_are_judged():
    every = images.list_photographs(images.BUNDLED)
    calibration, judged = images.calibration_photographs(), images.judged_photographs(images.BUNDLED)
    assert (len(every), len(calibration), len(judged)) == (64, 14, 50)
    assert set(calibration) | set(judged) == set(every) and not set(calibration) & set(judged)
    assert {photograph.name for photograph in calibration} == set(images.CALIBRATION)


def test_bundled_photographs_are_readable_and_their_labels_are_torchvisions():
    from torchvision.models import ResNet18_Weights

    categories = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    names = {
        line.split(",")[0]: line.split(",")[2] for line in (images.BUNDLED / "labels.csv").read_text().splitlines()
    }
    for photograph in images.resolve_labels(images.list_photographs(images.BUNDLED), categories):
        assert categories[photograph.label] == names[photograph.name]
        assert decoding.open_rgb(photograph.path).mode == "RGB"


def test_a_copy_of_the_bundled_folder_is_judged_whole(tmp_path):
    for name in images.CALIBRATION:
        picture(tmp_path / name)
    assert len(images.judged_photographs(tmp_path)) == 14


# Listing a folder


def test_flat_folder_is_unlabelled_and_sorted(tmp_path):
    for name in ("z.JPG", "b.png", "a.webp", "d.bmp", "c.tif"):
        picture(tmp_path / name)
    for name in ("notes.txt", ".hidden.jpg", "film.gif"):
        (tmp_path / name).write_bytes(b"x")
    found = images.list_photographs(tmp_path)
    assert [photograph.name for photograph in found] == ["a.webp", "b.png", "c.tif", "d.bmp", "z.JPG"]
    assert all(photograph.label_text is None for photograph in found)


def test_sub_folders_are_classes_however_deep(tmp_path):
    for name in ("goldfish/1.jpg", "goldfish/more/2.jpg", "tabby/1.jpg", ".cache/1.jpg", "3.jpg"):
        picture(tmp_path / name)
    found = {photograph.name: photograph.label_text for photograph in images.list_photographs(tmp_path)}
    assert found == {
        "goldfish/1.jpg": "goldfish",
        "goldfish/more/2.jpg": "goldfish",
        "tabby/1.jpg": "tabby",
        "3.jpg": None,
    }


def test_linked_class_folder_is_followed_and_a_dangling_link_is_listed(tmp_path):
    picture(tmp_path / "elsewhere" / "1.jpg")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "tabby").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found = images.list_photographs(tmp_path / "set")
    assert [photograph.name for photograph in found] == ["gone.jpg", "tabby/1.jpg"]
    assert images.load(found, preprocess).unreadable == ((found[0], "no such file"),)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(
    "header, first, second",
    [
        ("file,imagenet_index", "281", "207"),
        ("file,label", "tabby", "207"),
        ("imagenet_name,file", "tabby", "golden retriever"),
        ("File , Imagenet_Index,remark", "281", "207"),
    ],
)
def test_labels_csv(tmp_path, encoding, header, first, second):
    def row(name: str, label: str) -> str:
        cells = {"file": name, "remark": '"a, b"'}
        return ",".join(cells.get(column.strip().lower(), label) for column in header.split(","))

    text = "\r\n".join((header, row("a.jpg", first), "", row("dog/c.jpg", second), ""))
    found = images.list_photographs(labels_csv(tmp_path, text, encoding))
    assert [(photograph.name, photograph.label_text) for photograph in found] == [
        ("a.jpg", first),
        ("dog/c.jpg", second),
    ]


def test_index_comes_before_name_and_an_empty_cell_is_unlabelled(tmp_path):
    folder = labels_csv(tmp_path, "file,imagenet_name,imagenet_index\na.jpg,tabby,281\nb.jpg,,\n")
    assert [photograph.label_text for photograph in images.list_photographs(folder)] == ["281", None]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "needs `file` and one of imagenet_index, label, imagenet_name"),
        ("file\na.jpg\n", "needs `file` and one of"),
        ("name,label\na.jpg,1\n", "has the columns name, label"),
        ("file;label\na.jpg;1\n", "comma-separated"),
        ("file,label\na.jpg,1,2\n", "line 2: 3 cells under 2 columns"),
        ("file,label\na.jpg\n", "line 2: 1 cells under 2 columns"),
        ('file,label\n"a.jpg,1\n', "is not a CSV table"),
        ('file,label\n"a"b,1\n', "is not a CSV table"),
        ("file,label\na.jpg," + "x" * 200_000 + "\n", "is not a CSV table"),
        ("file,label\n\0,1\n", "labels.csv"),
        ("file,label\n", "no photographs"),
        ("file,label\na.jpg,1\n./a.jpg,2\n", "line 3: ./a.jpg is named a second time"),
        ("file,imagenet_index\na.jpg,-1\n", "line 2: imagenet_index is '-1'; it must be a whole number from 0"),
        ("file,imagenet_index\nb.jpg,4\na.jpg,3.5\n", "line 3: imagenet_index is '3.5'"),
        ("file,imagenet_index\na.jpg,tabby\n", "imagenet_index is 'tabby'"),
        ("file,imagenet_index\na.jpg,²\n", "imagenet_index is '²'"),
        ("file,label\nx.jpg,1\na.jpg,1\n", "names files that are not in its folder: x.jpg; add"),
        ("file,label\n5.jpg,1\n4.jpg,1\n3.jpg,1\n2.jpg,1\n1.jpg,1\n", "5.jpg, 4.jpg, 3.jpg and 2 more"),
        ("file,label\ndog,1\n", "names files that are not in its folder: dog"),
        ("file,label\n" + "n" * 5000 + ".jpg,1\n", "labels.csv"),
        ("file,label\n\x1b[31mred.jpg,1\n", "\\x1b[31mred.jpg"),
        ('file,label\n"two\nlines.jpg",1\n', "two\\nlines.jpg"),
    ],
)
def test_wrong_labels_csv_is_refused_in_one_line(tmp_path, text, expected):
    assert expected in refused(labels_csv(tmp_path, text))


@pytest.mark.parametrize(
    "name",
    [
        "../out.jpg",
        "dog/../../out.jpg",
        "{root}/out.jpg",
        "/etc/passwd",
        "C:\\out.jpg",
        "link.jpg",
        "folder/out.jpg",
        "",
        ".",
        "loop.jpg",
    ],
)
def test_labels_csv_cannot_leave_its_folder(tmp_path, name):
    picture(tmp_path / "out.jpg")
    folder = labels_csv(tmp_path / "set", f"file,label\n{name.format(root=tmp_path)},1\n")
    (folder / "link.jpg").symlink_to(tmp_path / "out.jpg")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    message = refused(folder)
    # A loop of links leads nowhere: whether resolving it fails or ends where it began depends on the Python version.
    assert "is not a file inside" in message or (name == "loop.jpg" and "not in its folder" in message)


def test_labels_csv_may_use_a_link_that_stays_inside(tmp_path):
    folder = labels_csv(tmp_path, "file,label\nlink.jpg,1\n")
    (folder / "link.jpg").symlink_to(folder / "dog" / "c.jpg")
    assert images.list_photographs(folder)[0].name == "link.jpg"


def test_labels_csv_in_another_encoding_is_refused(tmp_path):
    assert "is not UTF-8" in refused(labels_csv(tmp_path, "file,label\na.jpg,ä\n", "utf-16"))


def test_labels_csv_that_cannot_be_read_is_refused(tmp_path):
    picture(tmp_path / "a.jpg")
    (tmp_path / "labels.csv").mkdir()
    assert "cannot read" in refused(tmp_path)


def test_missing_and_empty_folders_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no photograph")
    assert "no such folder" in refused(tmp_path / "absent")
    assert "not a folder" in refused(tmp_path / "notes.txt")
    assert "no photographs" in refused(tmp_path)


def test_sub_folder_that_cannot_be_listed_is_refused_and_not_passed_over(tmp_path, monkeypatch):
    picture(tmp_path / "tabby" / "1.jpg")
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "tabby":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert "cannot be listed: Permission denied" in refused(tmp_path)


def test_listing_decodes_nothing(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"this is no picture")
    assert [photograph.name for photograph in images.list_photographs(tmp_path)] == ["broken.jpg"]


# Labels


CATEGORIES = ("tench", "goldfish", "crane", "golden retriever", "Crane", "drake")


def resolved(text: Optional[str]) -> Optional[int]:
    (photograph,) = images.resolve_labels([Photograph(Path("p.jpg"), text)], CATEGORIES)
    return photograph.label


@pytest.mark.parametrize(
    "text, label",
    [("0", 0), ("5", 5), ("005", 5), ("2", 2), ("goldfish", 1), ("Golden_Retriever", 3), (" TENCH", 0), (None, None)],
)
def test_label_by_index_and_by_name(text, label):
    assert resolved(text) == label


@pytest.mark.parametrize(
    "text, expected",
    [
        ("6", "out of range: this model has the classes 0 to 5"),
        ("9" * 6000, "out of range"),
        ("golfish", "did you mean 'goldfish'"),
        ("CRANE", "name of several classes; give the index: 2 or 4"),
        ("-1", "is no class of this model"),
        ("zzzz", "no class name is near"),
        ("gold\nfish", "'gold\\nfish'"),
    ],
)
def test_wrong_label_is_refused_with_what_is_near(text, expected):
    with pytest.raises(UserError) as caught:
        resolved(text)
    assert expected in str(caught.value) and "p.jpg" in str(caught.value) and "\n" not in str(caught.value)


def test_shown_keeps_letters_and_escapes_what_steers_a_terminal():
    assert labels.shown("Bär \x1b[2J\u202e\n") == "Bär \\x1b[2J\\u202e\\n"
    assert labels.shown(os.fsdecode(b"\xff.jpg")) == "\\udcff.jpg"


# Decoding


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_in_colour(tmp_path, name):
    quarters().save(tmp_path / name, quality=95)
    image = decoding.open_rgb(tmp_path / name)
    assert (image.mode, image.size) == ("RGB", (32, 16))
    assert_near(corners(image), [RED, BLUE, GREEN, WHITE], 0 if name[0] in "bde" else 8)


def test_content_decides_and_not_the_extension(tmp_path):
    picture(tmp_path / "really_png.jpg", RED, format="PNG")
    assert_near(decoding.open_rgb(tmp_path / "really_png.jpg").getpixel((3, 3)), RED)


def test_first_picture_of_a_phones_several(tmp_path):
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
        assert stored.mode.startswith("I"), "the file is to hold more than 8 bits"
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


# EXIF 2.3, tag 0x0112: what undoes the rotation stored under each number, as corners of `quarters()` once upright.
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


# Files that cannot be read


def unreadable(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(UnreadablePhotograph) as caught:
        decoding.open_rgb(path)
    assert str(caught.value) == f"photograph {path}: {caught.value.reason}" and "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_file(tmp_path, name):
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    assert "truncated, damaged" in unreadable(tmp_path / name) or "header is damaged" in unreadable(tmp_path / name)


@pytest.mark.parametrize(
    "content", [b"", b"this is no picture", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"GIF89a"]
)
def test_file_that_is_no_picture(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    assert "not a JPEG, PNG, WebP, BMP or TIFF picture" in unreadable(tmp_path / "a.jpg")


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

    monkeypatch.setattr(Image, "open", denied)  # the superuser, as whom tests may run, is denied nothing
    assert unreadable(picture(tmp_path / "a.jpg")) == "no permission to read it"


def bomb(path: Path, width: int, height: int) -> Path:
    """A BMP header that announces this size, with nothing behind it."""
    import struct

    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    path.write_bytes(b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header)
    return path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("width, height", [(10_001, 10_000), (30_000, 30_000)])
def test_picture_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch, width, height):
    def load(image: Any) -> None:
        raise AssertionError("a picture bomb was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert "more than 100 million pixels" in unreadable(bomb(tmp_path / "a.bmp", width, height))


def announced(path: Path, size: int) -> Path:
    """A whole small picture of this extension's format, in whose header both sides were then set to `size`."""
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
def test_a_small_file_that_announces_a_huge_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch, name, size):
    path = announced(tmp_path / name, size)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("a picture bomb was decoded"))
    reason = unreadable(path)
    # WebP's own library refuses a frame that does not fill its canvas.
    refused = ("could not create decoder object", "not a JPEG, PNG, WebP") if name == "a.webp" else ()
    assert any(text in reason for text in ("more than 100 million pixels", *refused)), reason


def test_largest_size_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 16 * 12)
    assert decoding.open_rgb(picture(tmp_path / "a.png")).size == (16, 12)
    assert "16×13 is more than" in unreadable(picture(tmp_path / "b.png", size=(16, 13)))


def test_strip_that_preprocessing_would_blow_up_is_refused(tmp_path):
    assert decoding.open_rgb(picture(tmp_path / "a.png", size=(100, 1))).size == (100, 1)
    assert "101×1: one side is more than 100 times the other" in unreadable(picture(tmp_path / "b.png", size=(101, 1)))


def test_floating_point_pixels_are_refused(tmp_path):
    assert "floating-point" in unreadable(picture(tmp_path / "a.tif", 0.5, mode="F"))


def test_unreadable_photograph_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(UnreadablePhotograph(Path("a\n.jpg"), "gone")))
    assert isinstance(error, UserError) and str(error) == "photograph a\\n.jpg: gone" and error.reason == "gone"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_bytes_give_a_picture_or_one_line_and_never_a_traceback(tmp_path, monkeypatch, name):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 1_000_000)  # damaged headers announce any size
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
        except UnreadablePhotograph as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes and outcomes <= {"RGB", "refused"}


# Batches


def folder_of(tmp_path: Path, readable: int, broken: Tuple[int, ...] = ()) -> Tuple[Photograph, ...]:
    for number in range(readable + len(broken)):
        path = picture(tmp_path / f"{number:03}.png", (number, 0, 0))
        if number in broken:
            path.write_bytes(b"broken")
    return images.list_photographs(tmp_path)


def shades(loaded: images.Loaded) -> List[int]:
    """The red of each row, which numbers the photograph."""
    return [int(value) for value in loaded.batch[:, 0].amax(dim=(1, 2))]


def test_load_gives_one_contiguous_batch_in_order(tmp_path):
    import torch

    photographs = folder_of(tmp_path, 20)
    loaded = images.load(photographs, preprocess)
    assert loaded.photographs == photographs and loaded.unreadable == ()
    assert loaded.batch.shape == (20, 3, 8, 8) and loaded.batch.dtype == torch.float32 and loaded.batch.is_contiguous()
    assert shades(loaded) == list(range(20))


def test_unreadable_photographs_are_named_and_stop_no_other(tmp_path):
    photographs = folder_of(tmp_path, 5, broken=(0, 3, 6))
    loaded = images.load(photographs, preprocess)
    assert shades(loaded) == [1, 2, 4, 5, 7]
    assert [photograph.name for photograph in loaded.photographs] == [
        "001.png",
        "002.png",
        "004.png",
        "005.png",
        "007.png",
    ]
    assert [photograph.name for photograph, _ in loaded.unreadable] == ["000.png", "003.png", "006.png"]
    assert all("not a JPEG" in reason for _, reason in loaded.unreadable)


def test_batches_are_full_but_the_last_and_name_each_unreadable_photograph_once(tmp_path):
    photographs = folder_of(tmp_path, 7, broken=(0, 4, 8))
    batches = list(images.load_batches(photographs, preprocess, 3))
    assert [shades(batch) for batch in batches] == [[1, 2, 3], [5, 6, 7], [9]]
    assert [[photograph.name for photograph, _ in batch.unreadable] for batch in batches] == [
        ["000.png"],
        ["004.png"],
        ["008.png"],
    ]


def test_last_batch_may_hold_only_unreadable_photographs(tmp_path):
    photographs = folder_of(tmp_path, 2, broken=(2,))
    first, last = images.load_batches(photographs, preprocess, 2)
    assert len(first.photographs) == 2 and first.unreadable == ()
    assert last.batch.shape == (0, 3, 0, 0) and len(last.unreadable) == 1


def test_no_photographs_are_an_empty_batch():
    loaded = images.load((), preprocess)
    assert loaded.batch.shape == (0, 3, 0, 0) and loaded.photographs == loaded.unreadable == ()


def test_batches_are_read_as_they_are_asked_for(tmp_path):
    read = []

    def counting(image: Image.Image) -> Any:
        read.append(1)
        return preprocess(image)

    batches = images.load_batches(folder_of(tmp_path, 60), counting, 4)
    next(batches)
    batches.close()
    assert 4 <= len(read) <= 4 + 2 * 4 + 1, "a batch of 4, and at most two photographs ahead for each of 4 threads"


def test_a_fault_of_the_preprocessing_is_not_taken_for_one_of_the_photograph(tmp_path):
    def faulty(image: Image.Image) -> Any:
        raise ZeroDivisionError("preprocessing")

    with pytest.raises(ZeroDivisionError):
        images.load(folder_of(tmp_path, 3), faulty)


def test_rows_are_what_torchvisions_preprocessing_gives():
    import torch
    from torchvision.models import ResNet18_Weights

    transforms = ResNet18_Weights.IMAGENET1K_V1.transforms()
    photographs = images.judged_photographs(images.BUNDLED)[:5]
    expected = torch.stack([transforms(Image.open(photograph.path).convert("RGB")) for photograph in photographs])
    assert torch.equal(images.load(photographs, transforms).batch, expected)


# Digest


def test_digest_changes_with_name_label_and_content_alone(tmp_path):
    photographs = folder_of(tmp_path / "one", 3)
    before = images.digest(photographs)
    assert before == images.digest(folder_of(tmp_path / "two", 3)) and len(before) == 64
    assert before != images.digest(photographs[:2])
    assert before != images.digest(
        [*photographs[:2], Photograph(photographs[2].path, "tabby", folder=tmp_path / "one")]
    )
    picture(photographs[0].path, GREEN)
    changed = images.digest(photographs)
    assert before != changed
    photographs[0].path.rename(tmp_path / "one" / "renamed.png")
    assert images.digest(images.list_photographs(tmp_path / "one")) not in (before, changed)


def test_digest_of_an_absent_file_and_of_a_name_that_is_no_text(tmp_path):
    odd = Photograph(Path(os.fsdecode(b"\xff.jpg")))
    assert len(images.digest([odd])) == 64
