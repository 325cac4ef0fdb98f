"""Tests of the verdict on repeatability: bits, spread, the limit, and how many calls find which race."""

from __future__ import annotations

import json

import numpy
import pytest

from fixtures.judge.repeatability import CALLS, TOLERANCE_SHARE, image_order, repeatability
from fixtures.tolerances.outputs import tolerance

TF32 = tolerance("tf32", "calibrated")
LIMIT = TOLERANCE_SHARE * TF32.relative_error
SCALE = 8.0
RIGHT = numpy.array([[1.0, -8.0, 2.0]], numpy.float32)


def judged(*arrays, scale=SCALE):
    return repeatability([("cat.jpg", {"output": array}) for array in arrays], {"output": scale}, TF32)


def test_the_same_bits_pass_with_no_spread():
    found = judged(*[RIGHT] * 5)
    assert found and found.bit_equal and (found.calls, found.distinct, found.spread, found.where) == (5, 1, 0.0, "")
    assert str(found) == "the same bits in 5 calls"


@pytest.mark.parametrize("share, passes", [(0.9, True), (1.1, False)])
def test_the_spread_is_a_share_of_the_scale_and_limited_by_a_share_of_the_tolerance(share, passes):
    off = RIGHT + numpy.float32([0, 0, share * LIMIT * SCALE])
    found = judged(RIGHT, off, RIGHT)
    assert bool(found) is passes and not found.bit_equal and found.distinct == 2
    assert found.spread == pytest.approx(share * LIMIT, rel=1e-3) and found.where == "cat.jpg, output"


def test_the_spread_is_between_calls_and_not_from_the_first():
    step = numpy.float32(0.7 * LIMIT * SCALE)
    assert judged(RIGHT, RIGHT + step) and judged(RIGHT, RIGHT - step)
    assert not judged(RIGHT, RIGHT + step, RIGHT - step)


def test_images_and_outputs_are_compared_with_their_own():
    outputs = [(name, {"a": RIGHT * place, "b": RIGHT + place}) for name, place in (("x", 1), ("y", 2)) * 3]
    scales = {"a": SCALE, "b": SCALE}
    assert repeatability(outputs, scales, TF32).bit_equal
    outputs[3] = ("y", {"a": RIGHT * 2, "b": RIGHT + 3})
    found = repeatability(outputs, scales, TF32)
    assert not found and found.where == "y, b" and found.distinct == 2 and found.calls == 6


@pytest.mark.parametrize("wrong", [numpy.nan, numpy.inf])
def test_a_value_that_is_finite_in_some_calls_only_is_refused_and_json_safe(wrong):
    broken = RIGHT.copy()
    broken[0, 1] = wrong
    found = judged(RIGHT, broken)
    assert not found and found.as_dict()["spread"] is None
    json.dumps(found.as_dict(), allow_nan=False)


def test_what_varies_on_a_reference_of_zeros_is_refused():
    assert not judged(RIGHT * 0, RIGHT, scale=0.0) and judged(RIGHT * 0, RIGHT * -0.0, scale=0.0)


def test_no_call_is_refused():
    with pytest.raises(ValueError, match="no call"):
        judged()


def test_so_many_calls_find_a_race_of_one_in_five_in_99_of_100_runs():
    assert CALLS == 21 and judged(*[RIGHT] * CALLS).race_share <= 0.2 < judged(*[RIGHT] * (CALLS - 1)).race_share
    draw = numpy.random.default_rng(0)
    missed = sum(not (draw.random(CALLS) < 0.2).any() for _ in range(20_000))
    assert missed / 20_000 == pytest.approx(0.8**CALLS, abs=2e-3)


def test_every_image_follows_itself_and_the_other():
    order = image_order(CALLS, 2)
    assert set(zip(order, order[1:])) == {(0, 0), (0, 1), (1, 0), (1, 1)} and set(image_order(5, 1)) == {0}


def test_the_report_says_got_expected_where_and_the_remedy_last():
    lines = judged(RIGHT, RIGHT * 2).report("resnet50 tensorrt_tf32").splitlines()
    assert lines[0] == "resnet50 tensorrt_tf32: does not repeat itself"
    assert lines[1] == "  got        2 different outputs of one image in 2 calls, spread 1"
    assert lines[2] == "  expected   a spread of at most 0.0035, 10% of the tolerance"
    assert lines[3] == "  where      cat.jpg, output" and "before the device has finished" in lines[-1]


def test_the_spread_of_complex_outputs_is_that_of_both_parts():
    assert judged(*[numpy.array([[value]]) for value in (1 + 1j, 1 + 3j, 2 + 0j)], scale=4.0).spread == 0.75
