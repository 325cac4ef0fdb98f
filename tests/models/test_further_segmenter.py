"""Tests that one zoo entry adds another torchvision segmenter: existing code calibrates, exports and judges it."""

from __future__ import annotations

import pytest
import torch

from fixtures.answers.masks import masks_of
from fixtures.backends import TWINS
from fixtures.common.outputs import to_numpy
from fixtures.images import folder as image_folder
from fixtures.judge.agreement import agree_all
from fixtures.judge.segmentation import judge_masks
from fixtures.models.calibration import SEED
from fixtures.models.calibration_dense import calibrate_segmenter
from fixtures.models.cores import core
from fixtures.models.zoo import SEGMENTATION_SIZE, ModelSpec, build_module, preprocessing
from fixtures.tolerances.masks import TABLE
from fixtures.tolerances.outputs import tolerance

ENTRY = ModelSpec(
    "deeplabv3_mobilenet_v3_large",
    "DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1",
    "segmentation",
    {"weights_backbone": None},
    unused_weights=("aux_classifier.",),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Eager's and the twin's outputs for four images, and the images' names."""
    loaded = image_folder.load(image_folder.list_images(image_folder.BUNDLED)[::4], preprocessing(ENTRY))
    module = build_module(ENTRY)
    calibrate_segmenter(module, loaded.batch, SEED)
    model, batch = core(ENTRY, module), loaded.batch[::4]
    path = tmp_path_factory.mktemp("engine") / "model.onnx"
    twin = TWINS["onnxruntime_fp32"].build(model, batch[:1], path)
    with torch.inference_mode():
        reference = to_numpy(model(batch))
        parts = [to_numpy(twin(image)) for image in batch.split(1)]
    twin.close()
    outputs = {name: torch.cat([torch.from_numpy(part[name]) for part in parts]).numpy() for name in reference}
    return reference, outputs, [image.name for image in loaded.images[::4]]


def test_its_map_and_its_masks_agree(found):
    reference, outputs, names = found
    assert reference["out"].shape == (4, 21, *SEGMENTATION_SIZE)
    raw = agree_all(outputs, reference, tolerance("fp32", "calibrated"), names)
    assert raw, raw.report(ENTRY.name)
    verdict = judge_masks(masks_of(outputs["out"]), masks_of(reference["out"]), TABLE["fp32"], names)
    assert verdict, verdict.report(ENTRY.name)


def test_its_masks_depend_on_the_image_and_another_images_masks_are_refused(found):
    reference, outputs, names = found
    masks = masks_of(reference["out"])
    assert len(set(masks.ravel().tolist())) > 3
    assert not judge_masks(masks_of(outputs["out"])[::-1], masks, TABLE["fp32"], names)
