"""Times of layers over several calls, and of modules by hooks."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from fixtures.measure.layers import median_sum, per_layer, summed
from fixtures.measure.module_times import Hook, module_profile, own_seconds


class Waits(nn.Module):
    """Takes this long."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, batch):
        time.sleep(self.seconds)
        return batch + 1


class Block(nn.Module):
    """Calls one layer twice, another once, and waits in its own code."""

    def __init__(self):
        super().__init__()
        self.twice, self.once, self.unused = Waits(0.004), Waits(0.002), Waits(1.0)

    def forward(self, batch):
        time.sleep(0.003)
        return self.once(self.twice(self.twice(batch)))


def test_each_layer_has_its_median_over_the_calls_and_one_that_did_not_run_took_no_time():
    calls = [{"a": 1.0, "b": 5.0}, {"a": 2.0}, {"a": 3.0, "b": 7.0}]
    assert per_layer(calls) == {"a": (2.0, pytest.approx(1.2), 1.0), "b": (5.0, 1.0, 0.0)}
    assert median_sum(calls) == 6.0
    assert summed([("a", 1.0), ("b", 2.0), ("a", 3.0)]) == {"a": 4.0, "b": 2.0}


def test_a_module_has_its_time_without_its_submodules_and_without_hooks():
    trace = [
        Hook("", True, 0.0, 1.0), Hook("one", True, 2.0, 3.0), Hook("one", False, 7.0, 8.0),
        Hook("two", True, 8.0, 9.0), Hook("two", False, 10.0, 12.0), Hook("", False, 15.0, 16.0),
    ]  # fmt: skip
    # The model's own: 1 to 2 and 12 to 15; a hook of 1 s on each side of a module is nobody's.
    assert own_seconds(trace) == {"": 4.0, "one": 4.0, "two": 1.0}


@pytest.mark.parametrize("wrapped", [False, True], ids=["block", "block in a Sequential"])
def test_hooks_time_the_modules_of_a_model_and_are_gone_afterwards(wrapped):
    model = nn.Sequential(Block()) if wrapped else Block()
    batch = torch.zeros(1, 3)
    found = module_profile(model.eval(), model, batch, "cpu", calls=5)
    prefix = "0." if wrapped else ""
    seconds = {layer.modules[0]: layer.p50_s for layer in found.layers}
    assert list(seconds) == [*([""] if wrapped else []), prefix.rstrip("."), f"{prefix}twice", f"{prefix}once"]
    assert seconds[f"{prefix}twice"] == pytest.approx(0.008, rel=0.4)
    assert seconds[f"{prefix}once"] == pytest.approx(0.002, rel=0.6)
    assert seconds[prefix.rstrip(".")] == pytest.approx(0.003, rel=0.6)
    assert found.sum_s == pytest.approx(found.call_s, rel=0.1)
    assert {layer.precision for layer in found.layers} == {"fp32"}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_model_that_raises_keeps_no_hook():
    model = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RuntimeError):
        module_profile(model, model, torch.zeros(1, 4), "cpu", calls=1)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_type_of_a_module_is_that_of_the_first_tensor_that_it_gives():
    class Pair(nn.Module):
        def forward(self, batch):
            return {"size": 3, "half": batch.half(), "whole": batch}

    model = Pair()
    assert [layer.precision for layer in module_profile(model, model, torch.zeros(2), "cpu", 1).layers] == ["fp16"]
