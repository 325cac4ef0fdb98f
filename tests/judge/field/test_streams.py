"""Tests of the verdict on streams: same bits as serial calls, or within the variation of serial calls."""

from __future__ import annotations

import json

import numpy
import pytest

from fixtures.judge.field.streams import ALONE, FREE, IN_STEP, Call, streams_agree
from fixtures.judge.repeatability import Repeatability

SERIAL = [{"output": numpy.array([[1.0, 2.0, 4.0]], numpy.float32) * factor} for factor in (1, 2)]
STEADY = Repeatability(True, 21, 1, 0.0, 1e-3, 0.2)
VARYING = Repeatability(True, 21, 4, 2e-4, 1e-3, 0.2, "a.jpg, output")
NAMES, SCALES = ("a.jpg", "b.jpg"), {"output": 8.0}


def off(image, by):
    return {"output": SERIAL[image]["output"] + numpy.float32(by)}


def judged(*calls, seen=STEADY):
    right = [Call(stream, how, image, SERIAL[image]) for stream in (0, 1) for how in (ALONE, FREE) for image in (0, 1)]
    return streams_agree(SERIAL, [*right, *calls], NAMES, SCALES, seen)


def test_the_same_bits_pass():
    found = judged()
    assert found and (found.calls, found.differing, found.spread, found.images, found.where) == (8, 0, 0.0, 2, "")
    assert found.report("x").splitlines()[0] == "x: give the outputs of serial calls"


def test_one_bit_is_a_race_where_serial_calls_give_the_same_bits():
    found = judged(Call(1, IN_STEP, 1, off(1, 1e-6)))
    assert not found and found.differing == 1 and 0 < found.spread < 1e-6 and not found.alone
    report = found.report("resnet18 x_fp16, 2 streams").splitlines()
    assert report[0] == "resnet18 x_fp16, 2 streams: do not give the outputs of serial calls"
    assert "1 of 9 calls differ" in report[1] and report[2].endswith("the same bits")
    assert report[3].endswith("stream 2, in step, b.jpg, output") and report[-1].startswith(
        "The streams disturb each other"
    )


def test_where_serial_calls_vary_streams_may_as_much_and_no_more():
    within, beyond = Call(0, FREE, 0, off(0, 4e-3)), Call(1, FREE, 0, off(0, 4e-2))
    assert judged(within, seen=VARYING) and judged(within, seen=VARYING).spread == pytest.approx(5e-4, rel=1e-3)
    found = judged(within, beyond, seen=VARYING)
    assert not found and found.where.startswith("stream 2, ") and "at most 0.001" in found.report("x")


def test_a_context_that_differs_alone_has_another_remedy():
    found = judged(Call(1, ALONE, 0, off(0, 1.0)))
    assert not found and found.alone and "even while no other runs" in found.report("x").splitlines()[-1]
    assert not judged(Call(1, ALONE, 0, off(0, 4e-3)), seen=VARYING).alone


@pytest.mark.parametrize(
    "outputs",
    [
        {"output": SERIAL[0]["output"][:, :2]},
        {"output": SERIAL[0]["output"].astype(numpy.float64) + 1},
        {"other": SERIAL[0]["output"]},
        off(0, numpy.nan),
    ],
    ids=["shape", "type", "name", "nan"],
)
def test_another_form_or_not_a_number_is_refused_and_fits_into_json(outputs):
    found = judged(Call(0, FREE, 0, outputs), seen=VARYING)
    assert not found and json.loads(json.dumps(found.as_dict(), allow_nan=False))["ok"] is False


def test_nan_in_serial_calls_too_is_the_same_bits():
    serial = [{"output": numpy.array([[numpy.nan, 1.0]], numpy.float32)}]
    assert streams_agree(serial, [Call(0, FREE, 0, serial[0])], NAMES, SCALES, STEADY)


def test_nothing_to_compare_gives_no_verdict():
    with pytest.raises(ValueError, match="no call"):
        streams_agree(SERIAL, [], NAMES, SCALES, STEADY)
