"""Kernels of a compiled model by torch's profiler."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fixtures.backends import inductor
from fixtures.common.build_options import BuildRequest
from fixtures.measure.kernel_times import kernels, numbered


def event(name, us=0.0, start=0, children=()):
    return SimpleNamespace(
        name=name, cpu_time_total=us, cpu_children=list(children), time_range=SimpleNamespace(start=start)
    )


def test_kernels_are_the_parts_of_compiled_graphs_in_the_order_of_time():
    inner = event("aten::mkldnn_convolution", 7)
    parts = [event("fused_relu", 2, start=5), event("aten::convolution", 9, start=1, children=[inner])]
    events = [event("Torch-Compiled Region: 0/0", 20), event("## Call CompiledFxGraph f ##", 12, children=parts), inner]
    assert kernels(events) == [("aten::convolution", 9e-6), ("fused_relu", 2e-6)]


def test_further_kernels_of_a_name_are_numbered():
    assert numbered([("a", 1.0), ("b", 2.0), ("a", 3.0)]) == [("a", 1.0), ("b", 2.0), ("a #2", 3.0)]


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_has_its_kernels(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid()).eval()
    request = BuildRequest(model, torch.rand(1, 3, 16, 16), "fp32")
    found = inductor.layer_times(request, 3)
    names = [layer.name for layer in found.layers]
    assert any("conv" in name for name in names) and any("sigmoid" in name for name in names)
    assert all(layer.p50_s > 0 and layer.modules == () for layer in found.layers) and found.sum_s > 0
