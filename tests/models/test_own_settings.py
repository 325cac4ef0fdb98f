"""Tests of layers' settings: equal settings have the same digest in every process, different settings do not."""

from __future__ import annotations

import functools
import subprocess
import sys
from argparse import Namespace

import numpy
import pytest
import torch
from torch import nn

from fixtures.models.own_settings import settings_digest


class Net(nn.Module):
    """A layer with arbitrary attributes."""

    def __init__(self, **held):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        vars(self).update(held)


class Calls(nn.Module):
    """Calls a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, batch):
        return self.function(batch)


def closed(scale):
    return lambda x: x * scale


def with_buffer(value):
    net = Net()
    net.register_buffer("table", torch.full((2,), value), persistent=False)
    return net


def hooked(function):
    net = Net()
    net.layer.register_forward_hook(function)
    return net


def double(module, given, output):
    return output * 2


def triple(module, given, output):
    return output * 3


DIFFERENT = {
    "a number": (Net(scale=1.0), Net(scale=2.0)),
    "a name": (Net(act="relu"), Net(act="tanh")),
    "a function of torch": (Net(act=torch.relu), Net(act=torch.tanh)),
    "what a function encloses": (Net(act=closed(1)), Net(act=closed(2))),
    "what a partial is given": tuple(Net(act=functools.partial(torch.add, alpha=alpha)) for alpha in (1, 2)),
    "a configuration": (Net(cfg=Namespace(depth=[1, {"a": 2}])), Net(cfg=Namespace(depth=[1, {"a": 3}]))),
    "a tensor that is no buffer": (Net(mean=torch.zeros(2)), Net(mean=torch.ones(2))),
    "an array": (Net(mean=numpy.zeros(2)), Net(mean=numpy.ones(2))),
    "a buffer outside of the state dict": (with_buffer(1.0), with_buffer(2.0)),
    "a hook": (hooked(double), hooked(triple)),
    "a layer without weights": (nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh())),
    "a layer's own setting": (nn.Sequential(nn.LeakyReLU(0.1)), nn.Sequential(nn.LeakyReLU(0.2))),
    "the order of layers": (nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sequential(nn.Tanh(), nn.ReLU())),
    "a graph of torch.fx": tuple(map(torch.fx.symbolic_trace, (nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh())))),
    "what a graph of torch.fx calls": tuple(map(torch.fx.symbolic_trace, (Calls(torch.relu), Calls(torch.tanh)))),
    "TorchScript": (torch.jit.script(nn.Sequential(nn.ReLU())), torch.jit.script(nn.Sequential(nn.Tanh()))),
}  # fmt: skip


@pytest.mark.parametrize("kind", DIFFERENT)
def test_differences_apart_from_the_weights_are_detected(kind):
    one, other = DIFFERENT[kind]
    assert settings_digest(one) != settings_digest(other)
    assert settings_digest(one) == settings_digest(one)


def test_weights_and_mode_do_not_count():
    one, other = Net(), Net().eval()
    assert settings_digest(one) == settings_digest(other)


def test_an_object_that_contains_itself_terminates():
    config = Namespace()
    config.parent = config
    assert settings_digest(Net(cfg=config))


def test_the_digest_is_the_same_in_another_process(root):
    code = (
        "from tests.models.test_own_settings import DIFFERENT, settings_digest\n"
        "print(*(settings_digest(net) for pair in DIFFERENT.values() for net in pair))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, check=True, text=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(printed) == 1 and printed.pop().split()
