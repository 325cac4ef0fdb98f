"""Tests of which labels a model uses: the suite's own images are labelled with ImageNet's classes."""

from __future__ import annotations

import types
from pathlib import Path

import pytest

from fixtures.checks import preflight
from fixtures.common.errors import ModelFault
from fixtures.images import folder as image_folder
from fixtures.images.folder import ListedImage
from fixtures.images.labels import Label
from fixtures.models.zoo import MODELS, ModelSpec, imagenet_names
from fixtures.run.model import RunningModel

GIVEN = [ListedImage(Path("p.jpg"), Label("281", is_index=True))]


def model(spec, folder=image_folder.BUNDLED, images=GIVEN):
    running = RunningModel.__new__(RunningModel)
    running.spec = spec
    running.session = types.SimpleNamespace(settings=types.SimpleNamespace(images=folder), images=images)
    return running


@pytest.mark.parametrize("names", [(), tuple(f"class {index}" for index in range(1000))])
def test_a_model_of_1000_other_classes_has_no_labels_on_the_suites_own_images(names):
    own = model(ModelSpec("own", class_names=names))
    assert own.has_other_classes and own.labelled(GIVEN, 1000)[0].label is None


@pytest.mark.parametrize("spec", [MODELS["resnet18"], ModelSpec("own", class_names=imagenet_names())])
def test_imagenets_class_names_take_the_labels_of_the_suites_own_images(spec):
    assert not model(spec).has_other_classes and model(spec).labelled(GIVEN, 1000)[0].label == 281


def test_a_model_without_class_names_takes_the_indices_of_the_users_images(tmp_path):
    assert model(ModelSpec("own"), tmp_path).labelled(GIVEN, 1000)[0].label == 281


def test_an_unknown_label_is_found_before_the_tests(tmp_path):
    images = [ListedImage(Path("p.jpg"), Label("hund"))]
    with pytest.raises(ModelFault, match="^label 'hund' of p.jpg is not a class of this model: did you mean 'hound'"):
        preflight._check_labels(model(ModelSpec("own", class_names=("hound", "cat")), tmp_path, images), 2)
