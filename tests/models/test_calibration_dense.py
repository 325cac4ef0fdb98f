"""Tests of calibrated detectors and segmenters: few boxes, varied scores, masks that depend on the image."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fixtures.images import decoding
from fixtures.models import cores, zoo
from fixtures.models.calibration import SEED
from fixtures.models.calibration_dense import calibrate_detector, calibrate_segmenter
from tests.model_files import tiny_dense


def detections(module):
    with torch.inference_mode():
        return [module([tiny_dense.plain(picture)])[0] for picture in pictures()]


def pictures():
    from fixtures.images import folder as image_folder

    return [decoding.open_rgb(image.path) for image in image_folder.list_images(image_folder.BUNDLED)[::4]]


@pytest.fixture(scope="module")
def found():
    return detections(tiny_dense.detector())


def test_nearly_every_image_has_a_few_boxes(found):
    counts = [len(one["boxes"]) for one in found]
    assert sum(1 <= count <= 60 for count in counts) >= 0.8 * len(counts), counts
    assert len(set(counts)) > 3, "what is found depends on the image"


def test_scores_differ_and_reach_far_above_the_threshold(found):
    scores = torch.cat([one["scores"] for one in found])
    assert len(set(scores.tolist())) > 0.99 * len(scores)
    assert float(scores.max()) > 0.3 and float(scores.min()) > 0.01


def test_an_untrained_detector_fails_these_checks():
    torch.manual_seed(0)
    counts = [len(one["boxes"]) for one in detections(tiny_dense.untrained_detector())]
    assert min(counts) == 100, "the cap of boxes"


def test_masks_depend_on_the_image():
    module = tiny_dense.segmenter()
    batch = tiny_dense.bundled_images(tiny_dense.small)
    with torch.inference_mode():
        masks = module(batch)["out"].argmax(1)
    shares = torch.stack([(masks == index).float().mean((1, 2)) for index in range(len(tiny_dense.CLASSES))])
    assert (shares.mean(1) > 0.02).all(), "every class is somewhere"
    assert all((masks[0] != mask).float().mean() > 0.1 for mask in masks[1:])


@pytest.mark.parametrize("make", [tiny_dense.detector, tiny_dense.segmenter])
def test_the_same_bits_twice(make):
    first, second = make().state_dict(), make().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", [name for name, spec in zoo.MODELS.items() if spec.task != "classification"])
def test_zoo_models_are_built_without_the_network(name, monkeypatch):
    """And the model's own preprocessing gives its core the same size for every image."""
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *arguments, **options: pytest.fail("network"))
    spec = zoo.MODELS[name]
    core = cores.core(spec, zoo.build_module(spec))
    preprocess = zoo.preprocessing(spec)
    wide, tall = (preprocess(picture.crop((0, 0, *size))) for picture, size in zip(pictures(), [(90, 60), (50, 80)]))
    assert wide.shape == tall.shape and wide.dtype == torch.float32
    assert len(preprocess.mean) == len(preprocess.std) == 3
    assert repr(preprocess) == repr(zoo.preprocessing(spec))
    assert not core.training and sum(isinstance(part, nn.Conv2d) for part in core.modules()) > 20


def test_a_detectors_core_returns_its_heads_outputs():
    module = tiny_dense.detector()
    batch = tiny_dense.bundled_images(cores.DetectorInput(tiny_dense.plain, module.transform))[:2]
    with torch.inference_mode():
        given = cores.core(zoo.ModelSpec("any", task="detection"), module)(batch)
        expected = module.head(list(module.backbone(batch).values()))
    assert set(given) == set(expected) and all(torch.equal(given[name], expected[name]) for name in expected)
    assert given["cls_logits"].shape[-1] == 5 and given["bbox_regression"].shape[-1] == 4


def test_other_models_are_their_own_cores():
    module = nn.Linear(2, 2)
    assert all(
        cores.core(zoo.ModelSpec("any", task=task), module) is module
        for task in ("classification", "segmentation", "tensor")
    )


def test_another_seed_gives_other_weights():
    for untrained, calibrate in (
        (tiny_dense.untrained_detector, calibrate_detector),
        (tiny_dense.untrained_segmenter, calibrate_segmenter),
    ):
        modules = untrained(), untrained()
        for seed, module in enumerate(modules):
            calibrate(
                module, torch.rand(4, 3, *tiny_dense.SIZE, generator=torch.Generator().manual_seed(0)), SEED + seed
            )
        first, second = (next(module.parameters()) for module in modules)
        assert not torch.equal(first, second)
