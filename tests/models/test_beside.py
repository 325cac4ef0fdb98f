"""Model files in two folders with helpers of the same name: each gets its own, no matter when its code imports it."""

from __future__ import annotations

import sys

import pytest

from fixtures.models import beside, zoo
from fixtures.models.model_files import add_models

FILE = """
import torch
from fixtures.models import ModelSpec
def build():
    from {helper} import K
    return torch.nn.Linear(1, K)
def preprocess(image):
    from {helper} import K
    return torch.full((1,), float(K))
NAME = ModelSpec("{name}", builder=build, preprocess=preprocess, task="tensor")
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(zoo, "MODELS", dict(zoo.MODELS))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(beside, "_aside", {})
    monkeypatch.setattr(beside, "_folder_of", {})
    yield
    for name in [name for name in sys.modules if name.startswith("beside_")]:
        del sys.modules[name]


def added(folder, name, number, helper):
    place = folder.joinpath(*helper.split(".")).with_suffix(".py")
    place.parent.mkdir(parents=True)
    place.write_text(f"K = {number}")
    file = folder / f"{name}.py"
    file.write_text(FILE.format(name=name, helper=helper))
    return add_models(file)[0]


@pytest.mark.parametrize("helper", ["beside_helper", "beside_package.helper"])
def test_each_builder_and_preprocessing_gets_the_helper_beside_its_file(tmp_path, helper):
    specs = {number: added(tmp_path / f"dir{number}", f"m{number}", number, helper) for number in (1, 2)}
    for number in (1, 2, 1, 2):
        assert zoo.build_module(specs[number]).out_features == number
        assert zoo.preprocessing(specs[number])(None).tolist() == [number]


def test_a_module_that_comes_back_is_the_same_object(tmp_path):
    first, second = (added(tmp_path / name, name, number, "beside_again") for number, name in enumerate("ab", 1))
    zoo.build_module(first)
    seen = sys.modules["beside_again"]
    zoo.build_module(second)
    assert sys.modules["beside_again"] is not seen
    zoo.build_module(first)
    assert sys.modules["beside_again"] is seen


def test_a_module_that_the_other_folder_lacks_stays(tmp_path):
    first = added(tmp_path / "a", "a", 1, "beside_only_here")
    second = added(tmp_path / "b", "b", 2, "beside_other")
    zoo.build_module(first)
    zoo.build_module(second)
    assert "beside_only_here" in sys.modules and "beside_other" in sys.modules
