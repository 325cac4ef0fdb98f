"""Layers by module: fused ones, folded batch norms, code of blocks, and layers of which no module is known."""

from __future__ import annotations

import pytest

from fixtures.layers.joined import join
from fixtures.layers.judged import missing
from fixtures.measure.layers import LayerTime, Profile

MODULES = ["", "conv1", "bn1", "relu", "layer1", "layer1.0", "layer1.0.conv1", "layer1.0.bn1", "layer1.0.relu",
           "layer1.0.conv2", "layer1.0.bn2", "features", "features.0", "features.1", "features.2", "drop"]  # fmt: skip
CALLED = [("conv1", "Conv2d"), ("bn1", "BatchNorm2d"), ("relu", "ReLU"), ("layer1.0.conv1", "Conv2d"),
          ("layer1.0.bn1", "BatchNorm2d"), ("layer1.0.relu", "ReLU"), ("layer1.0.conv2", "Conv2d"),
          ("layer1.0.bn2", "BatchNorm2d"), ("features.0", "Conv2d"), ("features.1", "BatchNorm2d"),
          ("features.2", "ReLU6"), ("drop", "Dropout")]  # fmt: skip


def layer(*nodes, name="kernel", p50_s=1e-3, modules=()):
    return LayerTime(name, p50_s, p50_s, p50_s, nodes, modules, "fp16")


@pytest.mark.parametrize(
    "nodes, title, modules",
    [
        (["/conv1/Conv", "/relu/Relu"], "conv1 + bn1 + relu", ("conv1", "bn1", "relu")),
        (
            ["/layer1/layer1.0/conv2/Conv", "/layer1/layer1.0/Add", "/layer1/layer1.0/relu_1/Relu"],
            "layer1.0.conv2 + bn2 + add + relu",
            ("layer1.0.conv2", "layer1.0.bn2", "layer1.0", "layer1.0.relu"),
        ),
        (["/features/features.0/Conv", "/features/features.2/Clip"], "features.0 + .1 + .2",
         ("features.0", "features.1", "features.2")),
        (["/Flatten"], "flatten", ("",)),
        (["/layer1/layer1.0/Add_1"], "layer1.0.add", ("layer1.0",)),
        (["Conv_0"], "kernel", ()),  # Of a graph made elsewhere, whose nodes have no scopes.
        ([], "kernel", ()),
    ],
)  # fmt: skip
def test_a_layer_is_named_after_its_modules(nodes, title, modules):
    (found,) = join([layer(*nodes)], MODULES, CALLED)
    assert (found.layer, found.modules, found.precision) == (title, modules, "fp16")


def test_a_batch_norm_with_a_node_of_its_own_is_not_folded():
    found = join([layer("/conv1/Conv"), layer("/bn1/BatchNormalization")], MODULES, CALLED)
    assert [one.layer for one in found] == ["conv1", "bn1"]


def test_a_folded_batch_norm_is_put_into_the_slowest_layer_of_its_convolution():
    small, large = layer("/conv1/Conv", p50_s=1e-6), layer("/conv1/Conv", p50_s=1e-3)
    assert [one.layer for one in join([small, large], MODULES, CALLED)] == ["conv1", "conv1 + bn1"]


def test_a_batch_norm_behind_a_layer_that_was_not_seen_is_nobodys():
    (found,) = join([layer("/relu/Relu")], MODULES, [("relu", "ReLU"), ("drop", "Dropout"), ("bn1", "BatchNorm2d")])
    assert found.layer == "relu"


def test_timed_modules_keep_their_names_and_nothing_is_folded():
    found = join([layer(modules=(name,)) for name in ("", "conv1", "layer1.0")], MODULES, CALLED)
    assert [one.layer for one in found] == ["own code", "conv1", "layer1.0.own code"]


def held(medians_ms, sum_ms, call_ms, whole_ms, on_device=False):
    layers = tuple(LayerTime("", ms / 1e3, 0.0, 0.0) for ms in medians_ms)
    return missing(Profile(layers, sum_ms / 1e3, call_ms and call_ms / 1e3), whole_ms / 1e3, on_device)


def test_layers_that_add_up_within_a_tenth_need_no_explanation():
    assert held([4, 5], 9, 10, 10) is None and held([5, 6], 11, 11, 10) is None


@pytest.mark.parametrize(
    "case, said",
    [
        (([4, 4], 8, 10, 10), "layers are 80% of a call (10 ms): the runtime's work between layers, copies of inputs "
                              "and outputs (2 ms)"),
        (([4, 4], 8, None, 10, True), "layers are 80% of a call (10 ms): gaps between kernels, copies of inputs and "
                                      "outputs (2 ms)"),
        (([6, 6], 12, 12, 10), "layers are 120% of a call (10 ms): profiler overhead (2 ms)"),
        (([6, 6], 12, None, 10), "layers are 120% of a call (10 ms): profiler overhead (2 ms)"),
        (([3, 4], 10, 10, 10), "layers are 70% of a call (10 ms): calls scatter, and medians do not add up (3 ms)"),
        (([6, 6], 12, 10, 10), "layers are 120% of a call (10 ms): layers that run at the same time (2 ms)"),
        (([4, 4], 8, 8, 10), "layers are 80% of a call (10 ms): profiled calls were faster (2 ms)"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_its_time(case, said):
    assert held(*case) == said
