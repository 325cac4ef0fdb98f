"""A running model for tests of what its twin asks of it: its workers only pretend."""

from __future__ import annotations

import types
from pathlib import Path

import torch
from torch import nn

from fixtures.common.build_options import DEFAULT
from fixtures.models.weights import WeightsFile
from fixtures.models.zoo import ModelSpec


def model(work, run_device="cpu", **settings):
    """work(title, task, job, *arguments): stands in for the workers. settings: in addition to the plain ones."""
    return types.SimpleNamespace(
        name="resnet18", run_device=run_device, spec=ModelSpec("resnet18"), module=nn.Identity(),
        example=lambda size: torch.zeros(size, 3, 4, 4), weights_file=WeightsFile(Path("w"), "d"),
        session=types.SimpleNamespace(
            work=work, record=types.SimpleNamespace(facts={}),
            settings=types.SimpleNamespace(
                build_options=DEFAULT, trusted_engine=None, engine_outputs=(), model_files=(), run_device=run_device,
                **settings,
            ),
        ),
    )  # fmt: skip
