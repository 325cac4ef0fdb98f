"""Tests that only --weights pretrained uses the network; test_network_run.py runs the suite without one."""

from __future__ import annotations

import socket

import pytest

from fixtures.common.errors import UserError
from fixtures.models import weights, zoo
from fixtures.models.weights import WeightsSource


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Names cannot be looked up and sockets not connected; torch's cache is empty."""

    def refuse(*arguments, **options):
        raise OSError("there is no network here")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.mark.parametrize("name", zoo.MODELS)
def test_no_model_fetches_anything_to_be_built(name):
    assert not zoo.build_module(zoo.MODELS[name]).training


def test_calibrated_weights_and_a_folder_of_them_need_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "calibrate", lambda module, batch, labels, seed: None)
    spec = zoo.MODELS["mobilenet_v2"]
    source = weights.decide("calibrated", [spec])
    file = weights.weights_file(spec, source, tmp_path / "cache")
    weights.save_weights(spec, file, tmp_path / "carried")
    carried = weights.weights_file(spec, weights.decide(str(tmp_path / "carried"), [spec]), tmp_path / "cache")
    assert carried.digest == file.digest and not weights.load_model(spec, carried.path).training
    assert weights.decide("auto", [spec]).kind == "calibrated"


def test_pretrained_weights_do_need_it_and_say_what_else_would_do(tmp_path):
    with pytest.raises(UserError, match="cannot be downloaded .*: put the file into .*, or use --weights calibrated"):
        weights.weights_file(zoo.MODELS["mobilenet_v2"], WeightsSource("pretrained", None, ""), tmp_path)
