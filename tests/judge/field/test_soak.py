"""Tests of the verdict on a soak: leaks among allocators' noise, and processes that only look as if they leaked."""

from __future__ import annotations

import json
import math

import numpy
import pytest

from fixtures.judge.field import soak as judge
from fixtures.judge.field.soak import Soak, amount, growth, growths, latency_change, theil_sen
from fixtures.judge.repeatability import repeatability
from fixtures.measure.field.soak import Reading, Sample
from fixtures.tolerances.outputs import tolerance

KIB, MIB = 2**10, 2**20
SAMPLES = 120
CALLS = numpy.arange(SAMPLES) * 25  # A minute of calls of 20 ms.


def found(held, allowed=judge.ALLOWED_HOST_BYTES, calls=CALLS):
    return growth(calls, held, allowed)


def noise(seed, size=64 * KIB):
    """Pages that come and go, as in a process that does not leak."""
    return numpy.random.default_rng(seed).integers(0, 8, SAMPLES) * (size // 8)


def steps(*at, size=MIB):
    """Memory that grows by `size` at each of these samples, and not between."""
    return sum(numpy.where(numpy.arange(SAMPLES) >= place, size, 0) for place in at)


@pytest.mark.parametrize("leak", [KIB, 4 * KIB, MIB])
def test_a_leak_per_call_is_found_with_its_size(leak):
    for seed in range(30):
        one = found(200 * MIB + leak * CALLS + noise(seed))
        assert one.leaks and one.per_call_bytes == pytest.approx(leak, rel=0.05)
        assert one.interval[0] <= leak <= one.interval[1] or abs(one.per_call_bytes - leak) < 0.01 * leak


def test_a_leak_is_found_in_hours_of_calls_however_small_it_is():
    assert found(64 * CALLS * 1000 + noise(1), calls=CALLS * 1000).leaks


FLAT = {
    "constant": numpy.zeros(SAMPLES),
    "pages that come and go": noise(1),
    "a lot that comes and goes": noise(2, 64 * MIB),
    "warm-up": 50 * MIB * (1 - numpy.exp(-numpy.arange(SAMPLES) / 8)),
    "slow warm-up": 20 * MIB * (1 - numpy.exp(-numpy.arange(SAMPLES) / 25)),
    "one step": steps(60, size=32 * MIB),
    "two steps": steps(40, 80),
    "three steps": steps(30, 60, 90, size=2 * MIB),
    "a fall": -4096.0 * CALLS,
    "up and down": 8 * MIB * numpy.sin(numpy.arange(SAMPLES) / 6),
    "a peak": steps(50, size=100 * MIB) - steps(70, size=100 * MIB),
    "less than allowed": 0.4 * MIB * numpy.arange(SAMPLES) / SAMPLES,
}


@pytest.mark.parametrize("name", FLAT)
def test_growth_in_only_some_parts_is_not_a_leak(name):
    assert not found(FLAT[name]).leaks


def test_thirty_processes_that_wander_raise_no_alarm():
    """Each sample adds or returns up to eight pages. Their sum varies by a quarter of a MiB."""
    wandering = [numpy.cumsum(numpy.random.default_rng(seed).integers(-8, 9, SAMPLES)) * 4096 for seed in range(30)]
    assert [found(held).leaks for held in wandering] == [False] * 30


def test_too_few_samples_are_not_judged():
    assert growth(range(20), range(20), 0) is None and growth(range(25), range(25), 0) is not None


def test_the_smallest_leak_that_a_run_finds_is_one_that_it_finds():
    flat = found(noise(3))
    just = found(1.3 * flat.finds_from_bytes * CALLS + noise(3))
    assert not flat.leaks and just.leaks


def test_theil_sen_is_the_median_of_the_slopes_and_takes_outliers():
    x = numpy.arange(10.0)
    y = 3 * x + 1
    y[[2, 7]] += (500, -900)
    slope, (low, high) = theil_sen(x, y)
    assert slope == 3.0 and low <= 3.0 <= high
    assert theil_sen(numpy.array([0.0, 1.0, 3.0]), numpy.array([0.0, 2.0, 3.0]))[0] == 1.0, "of 2, 1 and 0.5"


def test_its_interval_holds_the_slope_in_99_of_100_series():
    x, held = numpy.arange(60.0), 0
    for seed in range(400):
        slope, (low, high) = theil_sen(x, 0.1 * x + numpy.random.default_rng(seed).normal(0, 1, 60))
        held += low <= 0.1 <= high
        assert low <= slope <= high
    assert held / 400 >= 0.975


def sample(number, host=0, device=None, latency_s=0.02):
    return Sample(number / 2, number * 25, latency_s if number else None, Reading(host, device, None, None, None))


def test_each_memory_is_judged_by_its_own_allowance():
    calls = [sample(number, device=number * 4 * MIB) for number in range(100)]
    openings = [sample(number, host=number * MIB) for number in range(100)]
    on_gpu = growths(calls, openings, "nvml_process")
    assert [name for name, one in on_gpu.items() if one.leaks] == ["device", "reopened_host"]
    assert on_gpu["device"].allowed_bytes == 4 * MIB and "reopened_device" not in on_gpu
    assert list(growths([sample(number) for number in range(100)], [], None)) == ["host"]


def test_a_mebibyte_per_context_is_found_however_the_device_is_read():
    for source in judge.ALLOWED_DEVICE_BYTES:
        openings = [sample(number, device=-200 * MIB + number * MIB) for number in range(101)]
        assert growths(openings, openings, source)["reopened_device"].leaks, source


def outputs(*values):
    seen = [("bee.jpg", {"logits": numpy.full((1, 3), value, numpy.float32)}) for value in values]
    return repeatability(seen, {"logits": 1.0}, tolerance("fp16", "calibrated"))


def verdict(*values, limit=0.0, **grown):
    return Soak(grown, outputs(*values), limit)


def test_outputs_must_be_the_bits_of_the_start_or_within_what_the_twin_varies_by():
    assert verdict(1.0, 1.0) and not verdict(1.0, 1.0 + 1e-6)
    assert verdict(1.0, 1.0 + 1e-6, limit=1e-5) and not verdict(1.0, 1.1, limit=1e-5)
    assert not verdict(1.0, math.nan, limit=1e-5)


def test_a_report_says_what_grows_by_how_much_and_what_to_do():
    leaking, flat = found(4 * KIB * CALLS), found(noise(1))
    text = verdict(1.0, host=leaking, reopened_host=flat).report("resnet18 x_fp32, soaked")
    assert text.splitlines()[0] == "resnet18 x_fp32, soaked: host memory per call grows by 4.0 KiB"
    assert "expected   at most 512.0 KiB in total" in text and text.splitlines()[-1].startswith("Look for what each")
    only_openings = verdict(1.0, host=flat, reopened_host=leaking).report("")
    assert "host memory per opening" in only_openings and "close()" in only_openings.splitlines()[-1]
    changed = verdict(1.0, 2.0, host=flat).report("")
    assert "expected   the same bits" in changed and "bee.jpg, logits" in changed


def test_the_row_for_the_json_has_every_part_and_no_infinity():
    row = verdict(1.0, math.inf, host=found(4 * KIB * CALLS)).as_dict()
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert (row["ok"], row["host"]["leaks"], row["device"]) == (False, True, None)
    assert row["outputs"] == {"same": False, "bit_equal": False, "spread": None, "spread_limit": 0.0}
    assert verdict(1.0).as_dict()["reason"] is None


def test_latency_is_compared_from_the_first_fifth_to_the_last():
    slower = [sample(number, latency_s=0.02 if number < 60 else 0.03) for number in range(100)]
    assert latency_change(slower) == pytest.approx(0.5) and latency_change(slower[:9]) is None


@pytest.mark.parametrize("size, text", [(0, "0 B"), (-512, "-512 B"), (4096, "4.0 KiB"), (1.5 * MIB, "1.5 MiB")])
def test_amounts_are_readable(size, text):
    assert amount(size) == text
