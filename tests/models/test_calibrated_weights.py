"""Tests of calibrated weights: made once and cached, what invalidates them, and that they reload bit for bit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from fixtures.common.errors import UserError
from fixtures.models import weights
from fixtures.models.calibration import RECIPE, SEED
from fixtures.models.weights import WeightsSource, decide, identity, load_model, save_weights, weights_file
from fixtures.models.zoo import ModelSpec
from tests.helpers.random_weights import same
from tests.helpers.sockets import refuse_sockets

SMALL = ModelSpec("shufflenet_v2_x0_5", "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    refuse_sockets(monkeypatch)


@pytest.fixture
def quick(monkeypatch):
    """An instant recipe that counts its calls."""
    calls = []

    def calibrate(module, batch, labels, seed):
        calls.append((tuple(batch.shape), labels.tolist(), seed))
        for number, parameter in enumerate(module.parameters()):
            torch.nn.init.constant_(parameter, number)

    monkeypatch.setattr(weights, "calibrate", calibrate)
    return calls


def test_calibrated_weights_are_made_once_and_cached(quick, tmp_path):
    source = decide("calibrated", [SMALL])
    first = weights_file(SMALL, source, tmp_path / "cache")
    assert weights_file(SMALL, source, tmp_path / "cache") == first
    ((shape, labels, seed),) = quick
    assert shape == (64, 3, 224, 224) and len(set(labels)) == 51 and seed == SEED
    assert first.path.parent.parent == tmp_path / "cache"
    assert first.digest == hashlib.sha256(first.path.read_bytes()).hexdigest()
    parameters = list(load_model(SMALL, first.path).parameters())
    assert bool((parameters[-1] == len(parameters) - 1).all())


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("twins.models.weights.RECIPE", "other"),
        ("twins.models.weights.SEED", 1),
        ("torch.__version__", "2.99.1"),
        ("torchvision.__version__", "0.99"),
        ("twins.images.folder.digest", lambda images: "other images"),
    ],
    ids=["recipe", "seed", "torch", "torchvision", "images"],
)
def test_anything_that_changes_the_weights_makes_a_new_entry(where, value, quick, tmp_path, monkeypatch):
    source = decide("calibrated", [SMALL])
    first = weights_file(SMALL, source, tmp_path)
    monkeypatch.setattr(where, value)
    assert weights_file(SMALL, source, tmp_path).path != first.path
    assert len(quick) == 2


def test_a_changed_builder_option_makes_a_new_entry(quick, tmp_path):
    source = decide("calibrated", [SMALL])
    other = ModelSpec(SMALL.name, SMALL.weights, builder_options={"num_classes": 1000})
    assert weights_file(SMALL, source, tmp_path).path != weights_file(other, source, tmp_path).path


def test_the_file_does_not_depend_on_where_it_was_made(quick, tmp_path):
    weights._calibrate_into(tmp_path / "one.pth", SMALL)
    weights._calibrate_into(tmp_path / "another_name.pth", SMALL)
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "another_name.pth").read_bytes()


def test_a_damaged_bundled_image_is_named(quick, tmp_path, monkeypatch):
    bundled = tmp_path / "images"
    bundled.mkdir()
    (bundled / "labels.csv").write_text("file,imagenet_index,imagenet_name\nbee_01.jpg,309,bee\n")
    (bundled / "bee_01.jpg").write_bytes(b"no picture")
    monkeypatch.setattr("twins.images.folder.BUNDLED", bundled)
    with pytest.raises(UserError, match=r"bee_01.jpg, needed for calibrated weights, cannot be read: .*; restore"):
        weights_file(SMALL, decide("calibrated", [SMALL]), tmp_path / "cache")


def test_saved_weights_reload_with_the_same_digest(quick, tmp_path):
    file = weights_file(SMALL, decide("calibrated", [SMALL]), tmp_path / "cache")
    save_weights(SMALL, file, tmp_path / "new" / "saved")
    assert [path.name for path in (tmp_path / "new" / "saved").iterdir()] == ["shufflenet_v2_x0_5.pth"]
    back = weights_file(SMALL, decide(str(tmp_path / "new" / "saved"), [SMALL]), Path("unused"))
    assert back.digest == file.digest
    assert same(load_model(SMALL, back.path), load_model(SMALL, file.path).state_dict())


def test_calibrated_weights_are_identified_by_recipe_and_seed():
    assert identity(WeightsSource("calibrated", None, ""), {"alexnet": "a1"}) == {"recipe": RECIPE, "seed": SEED}
