"""An engine of another model is rebuilt, and a backend that changes the live module is refused."""

from __future__ import annotations

import types
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from fixtures.backends import TWINS
from fixtures.cache.store import EngineWarning
from fixtures.common import inputs
from fixtures.common.errors import UserError
from fixtures.models.zoo import ModelSpec
from fixtures.run import worker
from fixtures.run.twin import RunningTwin
from tests.helpers import pretended


class Scaled(nn.Module):
    """Multiplies by a scale that is in neither a state dict nor an attribute; without one it draws at random."""

    scale: object = 1.0

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, batch):
        self.calls += 1
        return self.layer(batch.flatten(1)[:, :2]) * (torch.rand(()) if Scaled.scale is None else Scaled.scale)


@pytest.fixture
def running(tmp_path, monkeypatch):
    """A running model of the user's own, and the engines that its fake workers have built."""
    monkeypatch.setattr(Scaled, "scale", 1.0)
    built = []

    def work(title, task, job, *path):
        if task is worker.build:
            built.append(job.twin)
            path[0].write_bytes(b"an engine")
            return {"build_s": 1.0, "build_warnings": []}
        return {"output": None}

    model = pretended.model(work, engine_folder=tmp_path)
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    model.spec, model.module, model.rounding = ModelSpec("mine", builder=Scaled, preprocess=abs), Scaled().eval(), 2e-5
    model.first = model.example = lambda count: images[:count].clone()
    model.asked = []
    model.ask_reference = lambda: model.asked.append(model.module.layer.weight.clone())
    model.forget_module = lambda: setattr(model, "module", None)
    load = TWINS["onnxruntime_fp32"].module
    monkeypatch.setattr(load, "load", lambda request: types.SimpleNamespace(close=lambda: None))
    return model, built


def opened(model):
    """The warnings when the twin is opened."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        twin = RunningTwin("onnxruntime_fp32", model)
    assert twin.figures["engine_bytes"] == len(b"an engine"), "what is kept of eager is not part of the engine"
    return [str(one.message) for one in caught if one.category is EngineWarning]


def test_an_engine_is_rebuilt_once_if_eagers_outputs_changed(running):
    model, built = running
    assert opened(model) == [] and len(built) == 1
    assert opened(model) == [] and len(built) == 1
    Scaled.scale = 1.001
    (line,) = opened(model)
    assert "is rebuilt" in line and "\n" not in line and len(built) == 2
    assert opened(model) == [] and len(built) == 2


def test_rounding_and_a_model_that_draws_at_random_build_nothing_again(running):
    model, built = running
    opened(model)
    Scaled.scale = 1 + 1e-6
    assert opened(model) == [] and len(built) == 1
    Scaled.scale = None
    opened(model)
    assert len(built) == 2
    assert opened(model) == [] and len(built) == 2


def test_an_engine_without_eagers_outputs_is_rebuilt(running, monkeypatch):
    model, built = running
    with monkeypatch.context() as patched:
        patched.setattr("twins.run.engine_key.write", lambda folder, model: None)
        opened(model)
    assert len(opened(model)) == 1 and len(built) == 2


def test_models_of_the_zoo_keep_nothing(running):
    model, built = running
    model.spec = ModelSpec("resnet18")
    opened(model)
    Scaled.scale = 2.0
    assert opened(model) == [] and len(built) == 1
    assert not list(Path(model.session.settings.engine_folder).rglob("*.npz"))


def test_several_inputs_are_kept(running):
    model, built = running
    images = torch.rand(3, 3, 4, 4), torch.rand(3, 1)
    model.first = model.example = lambda count: inputs.mapped(images, lambda tensor: tensor[:count].clone())
    model.module = TwoInputs()
    assert opened(model) == [] and opened(model) == [] and len(built) == 1
    Scaled.scale = 2.0
    assert len(opened(model)) == 1 and len(built) == 2


class TwoInputs(nn.Module):
    def forward(self, image, threshold):
        return image.flatten(1) * Scaled.scale + threshold


CHANGES = {
    "weights": lambda module: module.layer.weight.data.mul_(1.5),
    "statistics": lambda module: module.norm.running_mean.add_(1),
    "precision": lambda module: module.half(),
    "layout": lambda module: setattr(module.layer.weight, "data", module.layer.weight.data.t().contiguous().t()),
    "removed": lambda module: setattr(module, "norm", nn.Identity()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_backend_that_changes_the_live_module_is_named_and_the_reference_runs_first(running, monkeypatch, change):
    model, _ = running
    closed, before = [], model.module.layer.weight.clone()

    def build(request):
        request.model(request.example)  # Changes the buffer `calls`, as eager does.
        change(request.model)
        return types.SimpleNamespace(close=lambda: closed.append(True))

    monkeypatch.setattr(TWINS["inductor_fp32"].module, "build", build)
    with pytest.raises(UserError, match="backend inductor changes the model .*deepcopy") as raised:
        RunningTwin("inductor_fp32", model)
    assert "\n" not in str(raised.value) and closed == [True] and model.module is None
    assert torch.equal(model.asked[0], before)


def test_a_backend_that_leaves_the_module_alone_may_call_it(running, monkeypatch):
    model, _ = running
    module = model.module

    def build(request):
        request.model(request.example)
        return types.SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(TWINS["inductor_fp32"].module, "build", build)
    assert RunningTwin("inductor_fp32", model).run is not None
    assert model.module is module
