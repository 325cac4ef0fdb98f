"""Tests of folder.py: the bundled images, batches with unreadable images reported, and the digest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
from PIL import Image

from fixtures.images import decoding
from fixtures.images import folder as image_folder
from fixtures.images.folder import ListedImage
from fixtures.images.labels import Label
from tests.helpers.drawn import GREEN, picture


def preprocess(image: Image.Image) -> Any:
    """Stands in for torchvision's preprocessing: an RGB image in, float32 3×8×8 out."""
    import torch

    assert image.mode == "RGB"
    return torch.from_numpy(np.array(image.resize((8, 8)), dtype=np.float32)).permute(2, 0, 1)


def test_64_bundled_images_14_for_calibration_and_50_for_evaluation():
    every = image_folder.list_images(image_folder.BUNDLED)
    calibration, judged = image_folder.calibration_images(), image_folder.judged_images(image_folder.BUNDLED)
    assert (len(every), len(calibration), len(judged)) == (64, 14, 50)
    assert set(calibration) | set(judged) == set(every) and not set(calibration) & set(judged)
    assert {image.name for image in calibration} == set(image_folder.CALIBRATION)


def test_bundled_images_are_readable_and_their_labels_are_torchvisions():
    from torchvision.models import ResNet18_Weights

    categories = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    names = {
        line.split(",")[0]: line.split(",")[2]
        for line in (image_folder.BUNDLED / "labels.csv").read_text().splitlines()
    }
    for image in image_folder.resolve_labels(image_folder.list_images(image_folder.BUNDLED), categories):
        assert categories[image.label] == names[image.name]
        assert decoding.open_rgb(image.path).mode == "RGB"


def test_a_copy_of_the_bundled_folder_is_evaluated_in_full(tmp_path):
    for name in image_folder.CALIBRATION:
        picture(tmp_path / name)
    assert len(image_folder.judged_images(tmp_path)) == 14


def test_linked_class_folder_is_followed_and_a_dangling_link_is_listed(tmp_path):
    picture(tmp_path / "elsewhere" / "1.jpg")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "tabby").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found = image_folder.list_images(tmp_path / "set")
    assert [image.name for image in found] == ["gone.jpg", "tabby/1.jpg"]
    assert image_folder.load(found, preprocess).unreadable == ((found[0], "no such file"),)


def test_listing_decodes_nothing(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"not an image")
    assert [image.name for image in image_folder.list_images(tmp_path)] == ["broken.jpg"]


# Batches
def folder_of(tmp_path: Path, readable: int, broken: Tuple[int, ...] = ()) -> Tuple[ListedImage, ...]:
    for number in range(readable + len(broken)):
        path = picture(tmp_path / f"{number:03}.png", (number, 0, 0))
        if number in broken:
            path.write_bytes(b"broken")
    return image_folder.list_images(tmp_path)


def shades(loaded: image_folder.Loaded) -> List[int]:
    """The red value of each row, which is the image's number."""
    return [int(value) for value in loaded.batch[:, 0].amax(dim=(1, 2))]


def test_load_gives_one_contiguous_batch_in_order(tmp_path):
    import torch

    images = folder_of(tmp_path, 20)
    loaded = image_folder.load(images, preprocess)
    assert loaded.images == images and loaded.unreadable == ()
    assert loaded.batch.shape == (20, 3, 8, 8) and loaded.batch.dtype == torch.float32 and loaded.batch.is_contiguous()
    assert shades(loaded) == list(range(20))


def test_unreadable_images_are_reported_and_the_others_loaded(tmp_path):
    images = folder_of(tmp_path, 5, broken=(0, 3, 6))
    loaded = image_folder.load(images, preprocess)
    assert shades(loaded) == [1, 2, 4, 5, 7]
    assert [image.name for image in loaded.images] == [
        "001.png",
        "002.png",
        "004.png",
        "005.png",
        "007.png",
    ]
    assert [image.name for image, _ in loaded.unreadable] == ["000.png", "003.png", "006.png"]
    assert all("not a JPEG" in reason for _, reason in loaded.unreadable)


def test_all_batches_but_the_last_are_full_and_each_unreadable_image_is_reported_once(tmp_path):
    images = folder_of(tmp_path, 7, broken=(0, 4, 8))
    batches = list(image_folder.load_batches(images, preprocess, 3))
    assert [shades(batch) for batch in batches] == [[1, 2, 3], [5, 6, 7], [9]]
    assert [[image.name for image, _ in batch.unreadable] for batch in batches] == [
        ["000.png"],
        ["004.png"],
        ["008.png"],
    ]


def test_last_batch_may_hold_only_unreadable_images(tmp_path):
    images = folder_of(tmp_path, 2, broken=(2,))
    first, last = image_folder.load_batches(images, preprocess, 2)
    assert len(first.images) == 2 and first.unreadable == ()
    assert last.batch.shape == (0, 3, 0, 0) and len(last.unreadable) == 1


def test_no_images_give_an_empty_batch():
    loaded = image_folder.load((), preprocess)
    assert loaded.batch.shape == (0, 3, 0, 0) and loaded.images == loaded.unreadable == ()


def test_batches_are_read_lazily(tmp_path):
    read = []

    def counting(image: Image.Image) -> Any:
        read.append(1)
        return preprocess(image)

    batches = image_folder.load_batches(folder_of(tmp_path, 60), counting, 4)
    next(batches)
    batches.close()
    assert 4 <= len(read) <= 4 + 2 * 4 + 1, "a batch of 4, and at most two images ahead for each of 4 threads"


def test_rows_equal_torchvisions_preprocessing():
    import torch
    from torchvision.models import ResNet18_Weights

    transforms = ResNet18_Weights.IMAGENET1K_V1.transforms()
    images = image_folder.judged_images(image_folder.BUNDLED)[:5]
    expected = torch.stack([transforms(Image.open(image.path).convert("RGB")) for image in images])
    assert torch.equal(image_folder.load(images, transforms).batch, expected)


# Digest
def test_digest_changes_only_with_name_label_and_content(tmp_path):
    images = folder_of(tmp_path / "one", 3)
    before = image_folder.digest(images)
    assert before == image_folder.digest(folder_of(tmp_path / "two", 3)) and len(before) == 64
    assert before != image_folder.digest(images[:2])
    assert before != image_folder.digest(
        [*images[:2], ListedImage(images[2].path, Label("tabby"), folder=tmp_path / "one")]
    )
    picture(images[0].path, GREEN)
    changed = image_folder.digest(images)
    assert before != changed
    images[0].path.rename(tmp_path / "one" / "renamed.png")
    assert image_folder.digest(image_folder.list_images(tmp_path / "one")) not in (before, changed)


def test_digest_of_a_missing_file_and_of_an_undecodable_name(tmp_path):
    odd = ListedImage(Path(os.fsdecode(b"\xff.jpg")))
    assert len(image_folder.digest([odd])) == 64
