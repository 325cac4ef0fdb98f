"""Tests of a user's preprocessing: its result is checked, and an image on which it fails is left out."""

from __future__ import annotations

import pytest
import torch
from torchvision import transforms

from fixtures.common.errors import ModelFault
from fixtures.images import folder as image_folder
from fixtures.images.decoding import UnreadableImage
from fixtures.images.judged import Judged
from fixtures.images.preprocessed import preprocessed, varies
from tests.helpers.drawn import picture, quarters

SQUARE = transforms.Compose([transforms.Resize([16, 16]), transforms.ToTensor()])


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda x: x.numpy(), "gives a numpy.ndarray: give a float32 tensor C×H×W, as torch.from_numpy"),
        (lambda x: {"pixel_values": x}, "gives a dict with the keys 'pixel_values': give the tensor itself"),
        (lambda x: [x], "gives a list: give the tensor itself, or a tuple"),
        (lambda x: (), "gives a tuple: give a float32 tensor"),
        (lambda x: (x, "text"), "gives a tuple: give a float32 tensor"),
        (lambda x: None, "gives a NoneType: give a float32 tensor"),
        (transforms.ToPILImage(), "gives a PIL.Image: give a float32 tensor C×H×W, as torchvision's ToTensor does"),
        (lambda x: (255 * x).byte(), "gives uint8: give float32"),
        (lambda x: x.double(), "gives float64: give float32"),
        (lambda x: (x, x.half()), "gives float16: give float32"),
        (lambda x: x[None], "gives 1×3×16×16, with a batch axis"),
    ],
)
def test_a_preprocessing_that_returns_no_float_tensors_is_refused_in_one_line(tmp_path, change, expected):
    picture(tmp_path / "a.jpg")
    with pytest.raises(ModelFault) as error:
        preprocessed(tmp_path / "a.jpg", lambda image: change(SQUARE(image)))
    assert str(error.value).startswith(f"preprocess {expected}") and "\n" not in str(error.value)


@pytest.mark.parametrize("change", [lambda x: x, lambda x: (x, torch.arange(3)), lambda x: x[:1, :1, :1]])
def test_float_tensors_pass(tmp_path, change):
    picture(tmp_path / "a.jpg")
    preprocessed(tmp_path / "a.jpg", lambda image: change(SQUARE(image)))


def of_height(height):
    """A preprocessing that fails on images of this height."""

    def preprocess(image):
        if image.height == height:
            raise ValueError("too\nlow")
        return SQUARE(image)

    return preprocess


def three_images(folder):
    """Three images; the second is less tall and wider than the others."""
    for name, size in (("a.png", (20, 20)), ("b.png", (30, 10)), ("c.png", (20, 20))):
        picture(folder / name, size=size)
    return image_folder.list_images(folder)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_an_image_on_which_preprocessing_fails_is_left_out_by_name(tmp_path, batch_size):
    judged = Judged(three_images(tmp_path), of_height(10))
    judged.head(2)
    assert sum(len(batch) for batch in judged.batches(batch_size)) == 2
    ((left_out, reason),) = judged.unreadable
    assert left_out.name == "b.png" and reason.startswith("preprocessing fails on it (ValueError: too low, at ")
    assert "test_preprocessed.py:" in reason  # The user's own line.


def test_a_preprocessing_that_fails_on_every_image_is_to_blame_and_no_image_is(tmp_path):
    def slip(image):
        return transforms.functional.rezise(image, [16, 16])

    images = three_images(tmp_path)
    (tmp_path / "b.png").write_bytes(b"no image")
    judged = Judged(images, slip)
    with pytest.raises(ModelFault) as error:
        judged.head(1)
    line = slip.__code__.co_firstlineno + 1
    assert str(error.value).startswith("preprocess fails on every image, first on a.png (AttributeError: module ")
    assert str(error.value).endswith(f"has no attribute 'rezise', at test_preprocessed.py:{line})")
    assert [image.name for image, _ in judged.unreadable] == ["b.png"]


@pytest.mark.parametrize(
    "last", [transforms.RandomHorizontalFlip(), transforms.RandomCrop(8), transforms.ColorJitter(0.5)]
)
def test_a_random_preprocessing_varies(tmp_path, last):
    quarters().save(tmp_path / "a.jpg")
    torch.manual_seed(0)
    assert varies(tmp_path / "a.jpg", transforms.Compose([SQUARE, last]), 8)
    assert not varies(tmp_path / "a.jpg", SQUARE, 8)


def test_a_preprocessing_of_random_size_varies(tmp_path):
    picture(tmp_path / "a.jpg")
    sizes = iter(range(8, 99))
    assert varies(tmp_path / "a.jpg", lambda image: SQUARE(image)[:, : next(sizes)], 8)


def test_an_image_that_preprocessing_empties_is_left_out(tmp_path):
    picture(tmp_path / "a.png", size=(20, 20))
    with pytest.raises(UnreadableImage, match=r"preprocessing fails on it \(leaves nothing of it, 3×0×16\)"):
        preprocessed(tmp_path / "a.png", lambda image: SQUARE(image)[:, 16:])


def test_running_out_of_memory_is_not_blamed_on_the_image(tmp_path):
    def starve(image):
        raise MemoryError

    picture(tmp_path / "a.png", size=(20, 20))
    with pytest.raises(MemoryError):
        preprocessed(tmp_path / "a.png", starve)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_images_of_unequal_size_are_named_with_the_remedy(tmp_path, batch_size):
    """Even if they are not in the same batch: an engine takes a single size."""
    judged = Judged(three_images(tmp_path), transforms.Compose([transforms.Resize(8), transforms.ToTensor()]))
    with pytest.raises(ModelFault) as error:
        list(judged.batches(batch_size))
    expected = (
        "images differ in size after preprocess: b.png is 3×8×24, a.png is 3×8×8; make them equal with T.Resize(["
    )
    assert str(error.value).startswith(expected) and "\n" not in str(error.value)
