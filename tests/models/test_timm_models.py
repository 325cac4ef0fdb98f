"""Tests of timm's models, on a double of the package: found by name, calibrated, saved, or refused in one line."""

from __future__ import annotations

import importlib.machinery
import sys
import types

import pytest
import torch

from fixtures.common.errors import UserError
from fixtures.models import timm_models, weights, zoo
from fixtures.models.weights import WeightsSource, weights_file
from fixtures.run import selection
from tests.model_files.tiny_models import Tiny, small


@pytest.fixture
def timm(monkeypatch):
    """A package timm with two models, one of 1000 classes; no weights can be downloaded."""
    package = types.ModuleType("timm")
    package.__spec__ = importlib.machinery.ModuleSpec("timm", None)
    package.__version__ = "1.0.31"
    names = {"tiny_net": 1000, "other_net": 21}

    def create_model(name, pretrained):
        if pretrained:
            raise OSError("no route\nto huggingface.co")
        model = Tiny()
        model.num_classes = names[name]
        return model

    package.is_model, package.list_models, package.create_model = names.__contains__, lambda: list(names), create_model
    package.data = types.SimpleNamespace(
        resolve_data_config=lambda arguments, model: {"size": 32}, create_transform=lambda size: small
    )
    monkeypatch.setitem(sys.modules, "timm", package)
    monkeypatch.setattr(timm_models, "version", lambda: "1.0.31")
    monkeypatch.setattr(zoo, "MODELS", dict(zoo.MODELS))
    return package


def test_a_model_is_found_by_name_with_timm_s_preprocessing_and_imagenet_s_classes(timm):
    spec = zoo.find("timm/tiny_net")
    assert zoo.find("timm/tiny_net") is spec and spec.task == "classification"
    assert isinstance(zoo.build_module(spec), Tiny) and not zoo.build_module(spec).training
    assert zoo.preprocessing(spec) is small
    assert zoo.categories(spec)[207] == "golden retriever" and zoo.categories(zoo.find("timm/other_net")) is None


def test_a_name_without_the_prefix_says_how_to_select_it(timm):
    assert selection.elsewhere("tiny_net") == "timm has it: --models timm/tiny_net"
    assert selection.elsewhere("no_such_net") == ""
    with pytest.raises(UserError, match="unknown model 'tiny_net': timm has it: --models timm/tiny_net"):
        selection.known_models(("tiny_net",), zoo.MODELS)
    assert "weights='EfficientNet_B0_Weights.IMAGENET1K_V1'" in selection.elsewhere("efficientnet_b0")


def test_calibrated_weights_are_made_and_saved(timm, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "calibrate", lambda module, batch, labels, seed: module.classifier.bias.data.fill_(7))
    spec = zoo.find("timm/tiny_net")
    assert weights.decide("auto", [spec]).kind == "calibrated", "whether timm has them is not known without a network"
    file = weights_file(spec, WeightsSource("calibrated", None, ""), tmp_path / "cache")
    weights.save_weights(spec, file, tmp_path / "carried")
    carried = weights_file(spec, WeightsSource("folder", tmp_path / "carried", ""), tmp_path / "cache")
    assert carried.path == tmp_path / "carried" / "timm_tiny_net.pth" and carried.digest == file.digest
    assert torch.equal(weights.load_model(spec, carried.path).classifier.bias, torch.full((1000,), 7.0))


@pytest.mark.parametrize(
    "ask, expected",
    [
        (lambda: zoo.find("timm/tiny_nett"), "timm 1.0.31 has no such model: did you mean timm/tiny_net"),
        (lambda: weights_file(zoo.find("timm/tiny_net"), WeightsSource("pretrained", None, ""), ask_folder[0]),
         "timm's weights of timm/tiny_net cannot be downloaded (OSError: no route to huggingface.co)"),
        (lambda: weights._calibrate_into(ask_folder[0] / "x.pth", zoo.find("timm/other_net")), "cannot be calibrated"),
    ],
)  # fmt: skip
def test_missing_models_and_weights_are_refused_in_one_line(timm, tmp_path, ask, expected):
    ask_folder[:] = [tmp_path]
    with pytest.raises(UserError) as error:
        ask()
    assert expected in str(error.value) and "\n" not in str(error.value)


ask_folder = []


def test_without_timm_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(timm_models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="timm is not installed; pip install timm"):
        zoo.find("timm/efficientnet_b0")
