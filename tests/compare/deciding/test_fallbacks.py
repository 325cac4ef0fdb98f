"""Layers that an accelerator leaves to the GPU, energy, heat and soaks in a comparison."""

from __future__ import annotations

import copy

import pytest

from tests.helpers import compare_data as data
from tests.helpers.compared import TWIN, Compared


@pytest.fixture
def compared(tmp_path, capsys):
    return Compared(tmp_path, capsys)


def left(*layers, of=20):
    """A run whose twin leaves these layers of `of` to the GPU."""
    run = data.document()
    share = len(layers) / of
    fields = {"accelerator": "DLA core 0 of 2", "fallback_layers": list(layers), "fallback_share": share}
    data.row(run, "startup", *TWIN).update(fields)
    return run


def test_a_new_fallback_is_a_finding_that_names_the_layer_even_if_another_is_gone(compared):
    assert compared(left("/fc/Gemm"), left("/pool/MaxPool")) == 1
    assert "resnet18 tensorrt_fp16: falls back to the GPU" in compared.out
    assert "/pool/MaxPool" in compared.out and "/fc/Gemm" not in compared.out
    assert compared(left("/fc/Gemm"), left("/pool/MaxPool"), options=("--fail-on", "latency")) == 0


def test_the_same_or_fewer_fallbacks_are_none(compared):
    assert compared(left("/fc/Gemm"), left("/fc/Gemm")) == 0
    assert compared(left("/fc/Gemm", "/pool/MaxPool"), left("/fc/Gemm")) == 0
    assert "falls back" not in compared.out


def test_a_run_without_an_accelerator_has_no_fallback_to_compare(compared):
    assert compared(data.document(), left("/fc/Gemm")) == 0 and compared(left("/fc/Gemm"), data.document()) == 0


def test_their_share_can_be_gated_by_itself(compared):
    assert compared(left("a"), left("a", "b"), options=("--fail-on", "layers")) == 1
    assert compared.verdict("fallback_share") == "WORSE"


def using(joules):
    """A run whose twin uses this much energy per image."""
    run = data.document()
    data.benchmark(run, *TWIN)["extra_info"]["energy_per_image_j"] = joules
    return run


def test_energy_per_image_is_compared_and_can_be_gated(compared):
    assert compared(using(0.100), using(0.125), options=("--fail-on", "energy")) == 1
    assert compared.verdict("energy_per_image_j") == "WORSE"
    assert compared(using(0.100), using(0.105), options=("--fail-on", "energy")) == 0
    assert compared(using(0.100), using(0.125)) == 0, "it is not in the default gate"


@pytest.mark.parametrize("reason", ["heat or power: gpu-throttle-alert throttles", "heat and power unwatched: OSError"])
def test_a_gpu_time_under_heat_or_without_its_watch_is_not_worse(compared, reason):
    base = data.on_gpu(data.document(), *TWIN)
    hot = copy.deepcopy(base)
    extra = data.benchmark(hot, *TWIN)["extra_info"]
    extra.update(device_p50_s=extra["device_p50_s"] * 1.3, stable=False, unstable_reason=reason)
    assert compared(base, hot, options=("--fail-on", "gpu")) == 0
    assert compared.verdict("device_p50_s") == "UNSURE" and "heat" in compared.out
    extra.update(stable=True, unstable_reason=None)
    assert compared(base, hot, options=("--fail-on", "gpu")) == 1
