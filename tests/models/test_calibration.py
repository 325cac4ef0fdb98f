"""Tests of the calibration recipe on all kinds of classifiers, and of what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fixtures.common.errors import UserError
from fixtures.models import calibration
from fixtures.models.calibration import SEED, calibrate
from fixtures.models.zoo import MODELS, ModelSpec, build_module
from tests.helpers.logits import FLOAT16_MAX, images_for, nearest, right, watched

# Other kinds of classifier: another layer at the end, dense connections, squeeze-and-excitation, LayerNorm, attention.
# Images of 64×64 keep them quick.
OTHERS = {
    "squeezenet1_1": {},
    "shufflenet_v2_x0_5": {},
    "densenet121": {},
    "efficientnet_b0": {},
    "convnext_tiny": {},
    "vit_b_32": {"image_size": 64},
}


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_classifier(name):
    batch, labels = images_for(MODELS["resnet18"])
    batch = nn.functional.interpolate(batch, size=(64, 64), mode="area")
    module = build_module(ModelSpec(name, builder_options=OTHERS[name]))
    calibrate(module, batch, labels, SEED)
    logits, extremes = watched(module, batch)
    assert right(logits, labels) >= 0.9
    assert nearest(logits) > 0
    assert max(extremes.values()) < FLOAT16_MAX / 100


def pictures(count=20):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(count) % 4


def classifier(classes=4):
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, classes)).eval()


class AsList(nn.Sequential):
    def forward(self, batch):
        return [super().forward(batch)]


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        (nn.Sequential(nn.AvgPool2d(8), nn.Flatten()), "it has no convolution or linear layer"),
        (AsList(*classifier()), "its output is not an N×classes tensor"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(6), nn.Flatten()),
            r"its last layer, Conv2d\(3, 4, .* with 4 outputs",
        ),
        (
            nn.Sequential(classifier(6), nn.Unflatten(1, (3, 2)), nn.AvgPool1d(2), nn.Flatten()),
            "its last layer, Linear",
        ),
        (classifier(3), "it has 3 classes, but the images' labels go up to 3"),
        (nn.Sequential(*classifier(), nn.Threshold(99, float("nan"))), "its output is not finite"),
    ],
    ids=["no layer", "a list", "3×3 convolution", "pooled classes", "fewer classes", "NaN"],
)
def test_models_that_cannot_be_calibrated_are_refused_in_one_line(module, problem):
    with pytest.raises(UserError, match=rf"cannot be calibrated: {problem}[^\n]*; provide weights with --weights DIR$"):
        calibrate(module.eval(), *pictures(), SEED)


def test_a_last_layer_without_bias_is_fitted_too():
    module = classifier()
    module[3] = nn.Linear(16 * 36, 4, bias=False)
    batch, labels = pictures()
    calibrate(module, batch, labels, SEED)
    assert right(watched(module, batch)[0], labels) == 1


def test_a_dead_channel_and_a_layer_called_twice_are_harmless():
    shared = nn.Conv2d(16, 16, 3, padding=1)
    dead = nn.Sequential(nn.ReLU(), nn.Threshold(1e9, 0.0))
    module = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), shared, nn.ReLU(), shared, nn.ReLU())
    module.add_module("dead", nn.Sequential(nn.Conv2d(16, 16, 1), _Beside(dead)))
    module.add_module("head", nn.Sequential(nn.Flatten(), nn.Linear(32 * 36, 4)))
    module.eval()
    batch, labels = pictures()
    calibrate(module, batch, labels, SEED)
    logits, extremes = watched(module, batch)
    assert right(logits, labels) == 1
    assert max(extremes.values()) < 1000


class _Beside(nn.Module):
    """Concatenates its input and a module's output for it."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, values):
        return torch.cat([values, self.module(values)], dim=1)


def test_the_recipe_is_pinned():
    """Changing any of these changes the weights, so the recipe needs a new number."""
    constants = ("BATCH_SIZE", "MEAN", "SPREAD", "SCALE_SPREAD", "MARGIN", "RIDGE", "LEAST_DEVIATION")
    assert calibration.RECIPE == "calibrated-1"
    assert [getattr(calibration, name) for name in constants] == [16, 1.0, 0.25, 0.1, 5.0, 0.01, 1e-3]
