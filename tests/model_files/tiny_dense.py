"""A detector and a segmenter of torchvision's parts that build in no time, to be given to --model-file."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.segmentation.lraspp import LRASPP
from torchvision.transforms import functional

from fixtures.images import folder as image_folder
from fixtures.models.calibration_dense import calibrate_detector, calibrate_segmenter
from fixtures.models.cores import DetectorInput
from fixtures.models.zoo import ModelSpec

CLASSES = ("background", "cat", "dog", "bird", "cup")
SIZE = (64, 64)


class Maps(nn.Module):
    """Feature maps of 16×16 and 8×8."""

    out_channels = (12, 16)

    def __init__(self, names=("0", "1")):
        super().__init__()
        self.names = names
        self.fine = nn.Sequential(nn.Conv2d(3, 12, 5, stride=4, padding=2), nn.BatchNorm2d(12), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(12, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())

    def forward(self, batch):
        fine = self.fine(batch)
        return OrderedDict(zip(self.names, (fine, self.coarse(fine))))


class ShiftedAtExport(Maps):
    """Sees the picture 4 pixels further to the right in the twin than in eager."""

    def forward(self, batch):
        return super().forward(batch.roll(4, dims=3) if torch.onnx.is_in_onnx_export() else batch)


def plain(picture):
    """0 to 1, of the picture's own size."""
    return functional.to_tensor(picture)


def small(picture):
    """64×64, 0 to 1."""
    return functional.to_tensor(functional.resize(picture, SIZE))


def untrained_detector(maps=Maps):
    anchors = DefaultBoxGenerator([[2], [2]], scales=[0.15, 0.3, 0.6])
    return SSD(maps(), anchors, SIZE, len(CLASSES), detections_per_img=100).eval()


def untrained_segmenter():
    return LRASPP(Maps(("low", "high")), 12, 16, len(CLASSES), inter_channels=8).eval()


def bundled_images(preprocess):
    return image_folder.load(image_folder.list_images(image_folder.BUNDLED)[::4], preprocess).batch


def detector(maps=Maps):
    module = untrained_detector(maps)
    calibrate_detector(module, bundled_images(DetectorInput(plain, module.transform)), 0)
    return module


def shifted_detector():
    return detector(ShiftedAtExport)


def segmenter():
    module = untrained_segmenter()
    calibrate_segmenter(module, bundled_images(small), 0)
    return module


MODELS = [
    ModelSpec("tiny_detector", task="detection", builder=detector, preprocess=plain, class_names=CLASSES),
    ModelSpec("shifted", task="detection", builder=shifted_detector, preprocess=plain, class_names=CLASSES),
    ModelSpec("tiny_segmenter", task="segmentation", builder=segmenter, preprocess=small, class_names=CLASSES),
]
