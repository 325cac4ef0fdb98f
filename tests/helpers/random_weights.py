"""Weights of a model that the tests of weights save, load and compare."""

from __future__ import annotations

import torch

from fixtures.models.zoo import MODELS

SPEC = MODELS["resnet18"]


def random_state():
    """A state dict of SPEC, random."""
    torch.manual_seed(0)
    from torchvision.models import resnet18

    return resnet18(weights=None).state_dict()


def same(module, state):
    mine = module.state_dict()
    return mine.keys() == state.keys() and all(torch.equal(mine[name], state[name]) for name in state)
