"""The images that an int8 twin is calibrated with are decoded once, go to the build alone, and count in its key."""

from __future__ import annotations

import types

import torch

from fixtures.backends import TWINS
from fixtures.run import worker
from fixtures.run.twin import RunningTwin
from tests.helpers import pretended


def test_an_int8_twin_decodes_its_calibration_once(tmp_path, monkeypatch):
    decoded, jobs = [], {}

    def work(title, task, job, path):
        jobs[task] = job
        if task is worker.build:
            path.write_bytes(b"engine")
            return {"build_s": 1.0}
        return {}

    def calibration(spec):
        decoded.append(spec.name)
        return types.SimpleNamespace(batch=torch.ones(14, 3, 4, 4))

    model = pretended.model(work, engine_folder=tmp_path)
    model.session.calibration = calibration
    twin = types.SimpleNamespace(close=lambda: None)
    monkeypatch.setattr(TWINS["onnxruntime_int8"].module, "load", lambda request: twin)
    RunningTwin("onnxruntime_int8", model)
    assert decoded == ["resnet18"]
    assert jobs[worker.build].calibration.shape == (14, 3, 4, 4)
    assert jobs[worker.start].calibration is None
    assert jobs[worker.start].example.shape == (1, 3, 4, 4)
