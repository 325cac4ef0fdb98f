"""Layers of two runs: how they are paired, and which are reported as changed."""

from __future__ import annotations

import math

import numpy
import pytest

from fixtures.compare.judging.layers import layer_change, layer_changes, paired
from fixtures.compare.reading.layers import Layer, Layers

CASE = ("resnet18", "tensorrt_fp16", 1)


def layer(title, ms, modules=None, precision="fp16", noise=0.01):
    seconds = (ms / 1e3, ms / 1e3, ms / 1e3 * (1 - noise))
    return Layer(title, (title,) if modules is None else modules, *seconds, precision)


def run(*layers):
    return Layers(tuple(layers), "")


def change(base, new):
    return layer_change(CASE, run(*base), run(*new))


TEN = [layer(f"conv{number}", 0.1 + 0.01 * number) for number in range(10)]


def slower(layers, **factors):
    return [layer(one.title, one.p50_s * 1e3 * factors.get(one.title, 1.0)) for one in layers]


def test_a_layer_twice_as_slow_is_named_and_no_other():
    found = change(TEN, slower(TEN, conv4=2.0))
    assert [part.title for part in found.moved] == ["conv4"]
    assert found.moved[0].change_s == pytest.approx(0.14e-3) and found.common == 0
    assert found.new_s - found.base_s == pytest.approx(0.14e-3)


def test_equal_runs_say_nothing():
    found = change(TEN, TEN)
    assert not found.says_something and len(found.parts) == 10 and found.moved == ()


def test_noise_of_the_calls_names_no_layer():
    noisy = [layer(one.title, one.p50_s * 1e3, noise=0.2) for one in TEN]
    assert change(noisy, [layer(one.title, one.p50_s * 1.3e3, noise=0.2) if one.title == "conv3" else one
                          for one in noisy]).moved == ()  # fmt: skip


def test_a_change_common_to_all_layers_is_not_a_single_layers():
    found = change(TEN, [layer(one.title, one.p50_s * (2.6e3 if one.title == "conv2" else 1.3e3)) for one in TEN])
    assert found.common == pytest.approx(math.log(1.3))
    assert [part.title for part in found.moved] == ["conv2"]


def test_a_layer_that_takes_most_of_the_time_is_not_what_all_have_in_common():
    heavy = [layer("fc", 50.0), *TEN]
    found = change(heavy, slower(heavy, fc=2.0))
    assert found.common == 0 and [part.title for part in found.moved] == ["fc"]


def test_a_layer_that_hardly_takes_time_is_not_named():
    tiny = [*TEN, layer("flatten", 0.0001)]
    assert change(tiny, slower(tiny, flatten=3.0)).moved == ()


def test_appeared_vanished_and_converted_layers_are_listed():
    base = [*TEN, layer("gone", 0.05)]
    new = [layer("conv0", 0.1, precision="fp32"), *TEN[1:], layer("Reformat", 0.02, modules=())]
    found = change(base, new)
    assert [part.title for part in found.vanished] == ["gone"]
    assert [part.title for part in found.appeared] == ["Reformat"]
    assert [(part.title, part.base_precision, part.new_precision) for part in found.converted] == [
        ("conv0", "fp16", "fp32")
    ]
    assert found.says_something and found.moved == ()


def test_a_precision_that_is_unknown_has_not_changed():
    assert change(TEN, [layer(one.title, one.p50_s * 1e3, precision=None) for one in TEN]).converted == ()


def test_layers_fused_in_one_run_are_paired_with_those_apart_in_the_other():
    fused = [layer("conv1 + relu", 0.3, ("conv1", "relu")), layer("fc", 0.1)]
    apart = [layer("conv1", 0.2), layer("relu", 0.15), layer("fc", 0.1)]
    (one, other) = paired(run(*fused), run(*apart))
    assert (one.title, one.base_s, one.new_s) == ("conv1 + relu", 0.3e-3, pytest.approx(0.35e-3))
    assert (other.title, other.base_s, other.new_s) == ("fc", 0.1e-3, 0.1e-3)
    found = change(fused, apart)
    assert found.appeared == found.vanished == ()


def test_the_model_s_own_code_connects_no_layers():
    base = [layer("conv1 + add", 0.3, ("conv1", "")), layer("conv2", 0.1)]
    new = [layer("conv1", 0.3), layer("conv2 + add", 0.1, ("conv2", ""))]
    assert [(part.base_s, part.new_s) for part in paired(run(*base), run(*new))] == [
        (0.3e-3, 0.3e-3), (0.1e-3, 0.1e-3),
    ]  # fmt: skip


def test_several_layers_of_one_module_count_together():
    base = [layer("conv1", 0.2), layer("quantise", 0.01, ("conv1",), precision="int8")]
    (part,) = paired(run(*base), run(layer("conv1", 0.3)))
    assert part.base_s == pytest.approx(0.21e-3) and (part.base_precision, part.title) == ("fp16", "conv1")


def test_cases_are_those_of_both_runs_the_largest_change_first():
    base = {CASE: run(*TEN), ("a", "t", 1): run(layer("x", 1.0)), ("only base", "t", 1): run(layer("x", 1.0))}
    new = {CASE: run(*slower(TEN, conv4=2.0)), ("a", "t", 1): run(layer("x", 9.0))}
    assert [one.case for one in layer_changes(base, new)] == [("a", "t", 1), CASE]


def test_layers_without_time_divide_by_nothing():
    zeros = [layer("a", 0.0), layer("b", 0.0)]
    assert not change(zeros, zeros).says_something
    assert change(zeros, [layer("a", 1.0), layer("b", 0.0)]).new_s == 1e-3
    assert not change([], []).says_something


def test_noise_like_that_of_real_runs_rarely_names_a_layer_and_a_doubled_one_always():
    """30 calls a run with 3 % scatter; of 200 pairs of equal runs, and as many with a doubled layer."""
    noise = numpy.random.default_rng(0)

    def measured(factor=None):
        layers = []
        for place, one in enumerate(TEN):
            calls = one.p50_s * noise.normal(1, 0.03, 30) * (2 if place == factor else 1)
            fastest, p10, p50 = map(float, numpy.percentile(calls, (0, 10, 50)))
            layers.append(Layer(one.title, one.modules, p50, p10, fastest, None))
        return run(*layers)

    false = sum(bool(layer_change(CASE, measured(), measured()).moved) for _ in range(200))
    named = sum(
        [part.title for part in layer_change(CASE, measured(), measured(place % 10)).moved] == [f"conv{place % 10}"]
        for place in range(200)
    )
    assert false == 0 and named == 200
