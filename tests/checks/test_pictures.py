"""Tests of the drawings of boxes and masks: what is drawn, when, and where."""

from __future__ import annotations

import types

import numpy
import pytest
from PIL import Image

from fixtures.answers.boxes import Boxes
from fixtures.checks import pictures
from fixtures.common.errors import UserError
from fixtures.images import decoding
from fixtures.images import folder as image_folder
from tests.model_files import tiny_dense

IMAGES = image_folder.judged_images(image_folder.BUNDLED)[:5]
NAMES = [image.name for image in IMAGES]


def test_drawings_show_eager_on_the_left_and_the_twin_on_the_right(tmp_path):
    image = IMAGES[0]
    one = Boxes(numpy.array([[10, 10, 60, 60]], numpy.float32), numpy.array([0.5]), numpy.array([1]))
    none = Boxes(one.boxes[:0], one.scores[:0], one.labels[:0])
    path = pictures.path_of(tmp_path / "new", "tiny", "x", "folder/bee.jpg")
    pictures.save_boxes(path, image, (one, none), tiny_dense.CLASSES)
    original, drawn = decoding.open_rgb(image.path), Image.open(path)
    assert path.name == "folder-bee.jpg.png" and drawn.size == (2 * original.width, original.height)
    right = drawn.crop((original.width, 0, *drawn.size))
    assert numpy.array_equal(numpy.asarray(right), numpy.asarray(original)), "nothing was found there"
    left = numpy.asarray(drawn.crop((0, 0, *original.size)))
    assert (left[10, 11:60] == left[10, 11]).all() and not numpy.array_equal(left, numpy.asarray(original))


def test_a_box_that_is_not_finite_is_not_drawn(tmp_path):
    corners = numpy.array([[10, 10, 60, 60], [10, numpy.nan, 60, 90], [10, 10, numpy.inf, 90]], numpy.float32)
    both = [Boxes(corners[rows], numpy.ones(len(rows)), numpy.ones(len(rows), int)) for rows in ([0], [0, 1, 2])]
    path = pictures.save_boxes(tmp_path / "bee.png", IMAGES[0], both, tiny_dense.CLASSES)
    left, right = numpy.split(numpy.asarray(Image.open(path)), 2, axis=1)
    assert numpy.array_equal(left, right)


def test_drawings_of_masks_have_the_masks_size(tmp_path):
    mask = numpy.zeros((20, 30), int)
    mask[:, 15:] = 2
    path = pictures.save_masks(tmp_path / "mask.png", IMAGES[0], (mask, numpy.zeros_like(mask)))
    drawn = numpy.asarray(Image.open(path)).astype(int)
    assert drawn.shape == (20, 60, 3)
    assert (drawn[:, :15] == drawn[:, 30:45]).all() and (drawn[:, 15:30] != drawn[:, 45:]).any()


class Verdict:
    worst = NAMES[2]

    def __init__(self, ok):
        self.ok = ok

    def __bool__(self):
        return self.ok


@pytest.mark.parametrize(("asked", "ok", "drawn"), [
    (False, True, []), (False, False, [2]), (True, True, [0, 1, 2, 3]), (True, False, [0, 1, 2, 3]),
])  # fmt: skip
def test_a_failure_always_keeps_a_drawing_of_the_worst_image(asked, ok, drawn, tmp_path):
    model = types.SimpleNamespace(name="tiny", image_names=NAMES[:4], reference_name="eager")
    twin = types.SimpleNamespace(name="x")
    seen = {}

    def draw(index, path):
        seen[index] = path
        return path

    folder = tmp_path / "asked" if asked else None
    words = pictures.keep(folder, tmp_path / "spare", model, twin, Verdict(ok), draw)
    assert list(seen) == drawn and all(
        (tmp_path / ("asked" if asked else "spare")) in seen[one].parents for one in seen
    )
    assert words == ("" if ok else f" (drawing: {seen[2]}, eager on the left)")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file.* cannot be written .*; name another folder$"):
        pictures.save_masks(tmp_path / "file" / "x.png", IMAGES[0], [numpy.zeros((4, 4), int)] * 2)
