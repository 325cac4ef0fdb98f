"""Tests of the passes over the images: the same rows kept or re-read, unreadable images named, the progress bar."""

from __future__ import annotations

import types

import pytest
import torch
from PIL import Image

from fixtures.common import inputs
from fixtures.common.errors import UserError
from fixtures.images import folder as image_folder
from fixtures.images import judged
from fixtures.images.judged import Judged
from fixtures.run import progress
from fixtures.run.passes import outputs_of


@pytest.fixture
def folder(tmp_path):
    """Seven images of grey 0 to 60, the fourth of which is damaged."""
    for index in range(7):
        Image.new("RGB", (8, 8), (10 * index,) * 3).save(tmp_path / f"{index}.png")
    (tmp_path / "3.png").write_bytes(b"damaged")
    return tmp_path


def grey(picture):
    """A 3×8×8 tensor of the image's grey value, and a tensor of its number."""
    value = float(picture.getpixel((0, 0))[0])
    return torch.full((3, 8, 8), value), torch.tensor([value / 10])


def rows(batches):
    return [row for batch in batches for row in batch[1][:, 0].tolist()]


@pytest.mark.parametrize("kept_bytes", [10**6, 2000])
def test_every_pass_gives_the_same_rows_kept_or_re_read(folder, monkeypatch, kept_bytes):
    monkeypatch.setattr(judged, "KEPT_BYTES", kept_bytes)
    reads = []
    found = Judged(image_folder.list_images(folder), lambda picture: reads.append(1) or grey(picture))
    for size in (4, 1, 10):
        batches = list(found.batches(size))
        assert rows(batches) == [0, 1, 2, 4, 5, 6]
        assert [inputs.count(batch) for batch in batches][:-1] == [size] * (len(batches) - 1)
    assert len(reads) == (6 if kept_bytes == 10**6 else 18)
    assert [image.name for image in found.readable] == ["0.png", "1.png", "2.png", "4.png", "5.png", "6.png"]
    assert [(image.name, bool(reason)) for image, reason in found.unreadable] == [("3.png", True)]


@pytest.mark.parametrize("kept_bytes", [10**6, 0])
def test_a_model_that_writes_to_its_input_does_not_affect_later_passes(folder, monkeypatch, kept_bytes):
    monkeypatch.setattr(judged, "KEPT_BYTES", kept_bytes)
    found = Judged(image_folder.list_images(folder), grey)
    for size in (2, 1, 10):
        for batch in found.batches(size):
            batch[1].mul_(-1)
        found.head(2)[1].zero_()
    assert rows(found.batches(4)) == [0, 1, 2, 4, 5, 6]
    assert rows([found.head(3)]) == [0, 1, 2]


def test_the_head_reads_no_more_than_it_needs(folder):
    reads = []
    found = Judged(image_folder.list_images(folder)[:3], lambda picture: reads.append(1) or grey(picture))
    assert rows([found.head(2)]) == [0, 1] and rows([found.head(1)]) == [0]
    assert rows([found.head(5)]) == [0, 1, 2]
    assert rows([found.head(5)]) == [0, 1, 2] and len(reads) <= 6


def test_an_image_that_goes_missing_between_passes_is_named(folder, monkeypatch):
    monkeypatch.setattr(judged, "KEPT_BYTES", 0)
    found = Judged(image_folder.list_images(folder), grey)
    list(found.batches(2))
    (folder / "5.png").unlink()
    with pytest.raises(UserError, match="image 5.png can no longer be read: no such file"):
        list(found.batches(2))


def test_no_readable_image_is_a_one_line_error(folder):
    (damaged,) = (image for image in image_folder.list_images(folder) if image.name == "3.png")
    with pytest.raises(UserError, match="^no image can be read: 3.png: not a JPEG.*--images$"):
        Judged([damaged], grey).head(1)


class Reporter:
    """As much of pytest's terminal reporter as the progress bar needs."""

    isatty = False

    def __init__(self):
        self.lines = []
        self._tw = types.SimpleNamespace(_file=self)

    def ensure_newline(self): ...

    def write_line(self, line):
        self.lines.append(line)

    def write(self, text):
        self.lines.append(text)

    def rewrite(self, line, erase=False):
        self.lines.append(line)

    def flush(self): ...


def running(found, reporter):
    """What `outputs_of` needs of a running model."""
    config = types.SimpleNamespace(pluginmanager=types.SimpleNamespace(get_plugin={"terminalreporter": reporter}.get))
    return types.SimpleNamespace(
        name="mine", judged=found, run_device="cpu", session=types.SimpleNamespace(config=config)
    )


@pytest.mark.parametrize("terminal", [False, True])
def test_outputs_are_in_order_and_a_bar_shows_the_progress(folder, monkeypatch, terminal):
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    reporter = Reporter()
    reporter.isatty, reporter._tw = terminal, types.SimpleNamespace(fullwidth=80)
    found = Judged(image_folder.list_images(folder), grey)
    given = outputs_of(lambda batch: {"number": batch[1][:, 0], "map": batch[0]}, running(found, reporter), "eager")
    assert given["number"].tolist() == [0, 1, 2, 4, 5, 6] and given["map"].shape == (6, 3, 8, 8)
    shown = "".join(reporter.lines)
    assert "mine eager: 6 of 7 images, 0 s" in shown and ("0 s left" in shown) is terminal


def test_an_output_without_a_row_per_image_is_refused(folder):
    found = Judged(image_folder.list_images(folder), grey)
    with pytest.raises(
        UserError, match=r"mine eager returns output with shape \(\) for a batch of 1: the first axis must be"
    ):
        outputs_of(lambda batch: batch[1].sum(), running(found, None), "eager")


def test_file_names_cannot_control_the_terminal(tmp_path):
    from fixtures.run.model import RunningModel

    Image.new("RGB", (8, 8)).save(tmp_path / "a\x1b[2J.png")
    model = RunningModel.__new__(RunningModel)
    model._refused, model._reference = None, object()
    model.judged = Judged(image_folder.list_images(tmp_path), grey)
    assert model.image_names == ("a\\x1b[2J.png",)
