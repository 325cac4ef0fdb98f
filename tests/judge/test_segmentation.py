"""Tests of the judge of masks: shares and IoU by hand, what is refused, and a reference that would prove nothing."""

from __future__ import annotations

import json

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from fixtures.answers.masks import NO_CLASS, masks_of
from fixtures.judge.segmentation import judge_masks, mean_iou
from fixtures.tolerances.masks import TABLE, MaskTolerance

TOLERANCE = MaskTolerance("fp32", changed=0.05, mean_iou=0.9, source="for a test")
NAMES = ["bee.jpg", "hen.jpg"]


def masks():
    """Two masks of 10×10 pixels, half class 0 and half class 1: split vertically and horizontally."""
    upright = numpy.zeros((10, 10), int)
    upright[:, 5:] = 1
    return numpy.stack([upright, upright.T])


def test_a_pixels_class_is_its_largest_logit():
    maps = numpy.zeros((1, 3, 2, 2), numpy.float32)
    maps[0, 2, 0, 1] = maps[0, 1, 1, 0] = 1
    assert masks_of(maps).tolist() == [[[0, 2], [1, 0]]]


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_pixel_with_a_logit_that_is_not_finite_has_no_class_and_is_refused(value, where):
    """Even if eager has the same bad pixel, so that both sides look the same."""
    maps = numpy.stack([masks() == index for index in range(3)], axis=1).astype(numpy.float32)
    spoilt = maps.copy()
    spoilt[1, where, 0, 0] = value
    assert masks_of(spoilt)[1, 0, 0] == NO_CLASS and (masks_of(spoilt) != NO_CLASS).sum() == 199
    for actual, reference in ((spoilt, maps), (spoilt, spoilt), (maps, spoilt)):
        found = judge_masks(masks_of(actual), masks_of(reference), TOLERANCE, NAMES)
        assert not found and found.reasons[0] == "1 pixels have logits that are not finite"
        assert found.worst == "hen.jpg" and found.changed_pixels == 1
        json.dumps(found.as_dict(), allow_nan=False)


def test_mean_iou_by_hand():
    reference = numpy.array([[0, 0, 1, 1]])
    assert mean_iou(reference, reference) == 1
    assert mean_iou(numpy.array([[0, 1, 1, 1]]), reference) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert mean_iou(numpy.array([[0, 0, 1, 5]]), reference) == pytest.approx((1 + 1 / 2 + 0) / 3)


@settings(max_examples=50, deadline=None)
@given(*[arrays(int, (2, 3, 3), elements=some.integers(0, 3))] * 2)
def test_mean_iou_is_a_share_and_symmetric(first, second):
    assert 0 <= mean_iou(first, second) <= 1
    assert mean_iou(first, second) == pytest.approx(mean_iou(second, first))
    assert (mean_iou(first, second) == 1) == numpy.array_equal(first, second)


def test_few_pixels_may_change():
    actual = masks()
    actual[1, 0, :3] = 1
    found = judge_masks(actual, masks(), TOLERANCE, NAMES)
    assert found and found.changed == (0, 0.03) and found.changed_pixels == 3 and found.worst == "hen.jpg"
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("actual", "reason"),
    [
        (numpy.roll(masks(), 1, axis=2), "20.00% of bee.jpg changed class"),
        (1 - masks(), "mean IoU 0 is below 0.9"),
        (numpy.zeros_like(masks()), "50.00% of bee.jpg"),
        (masks()[::-1], "50.00% of bee.jpg"),
    ],
    ids=["off by a pixel", "classes swapped", "a class dead", "images swapped"],
)
def test_what_is_wrong_is_refused(actual, reason):
    found = judge_masks(actual, masks(), TOLERANCE, NAMES)
    assert not found
    lines = found.report("lraspp x").splitlines()
    assert reason in lines[0] and [line.split()[0] for line in lines[1:-1]] == ["got", "expected", "tolerance", "where"]


def test_every_limit_is_inclusive():
    """Four of 64 pixels change, from one class of 32 to the other: the IoUs are 28 / 32 and 32 / 36."""
    reference = numpy.zeros((2, 8, 8), int)
    reference[0, 4:], reference[1, :, 4:] = 1, 1
    actual = reference.copy()
    actual[0, 4, :4] = 0
    mean = mean_iou(actual, reference)
    assert mean == pytest.approx((60 / 64 + 64 / 68) / 2)
    assert judge_masks(actual, reference, MaskTolerance("fp32", 4 / 64, mean, "by hand"), NAMES)
    assert not judge_masks(actual, reference, MaskTolerance("fp32", 3.9 / 64, mean, "by hand"), NAMES)
    assert not judge_masks(actual, reference, MaskTolerance("fp32", 4 / 64, mean + 1e-9, "by hand"), NAMES)
    # Half of the second image is the first one's, so three quarters of both.
    assert judge_masks(reference, reference, MaskTolerance("fp32", 0.25, 0.5, "by hand"), NAMES)
    frozen = judge_masks(reference, reference, MaskTolerance("fp32", 0.26, 0.5, "by hand"), NAMES)
    assert frozen.reasons == ("the reference's masks hardly depend on the image: a frozen engine would pass",)


def test_the_report_and_the_dictionary():
    """Ten of a class's 100 pixels, over two images, change to the other: (90 / 100 + 100 / 110) / 2."""
    actual = masks()
    actual[1, 0, :10] = 1
    found = judge_masks(actual, masks(), TOLERANCE, NAMES)
    assert found.report("lraspp x").splitlines() == [
        "lraspp x: masks do not agree: 10.00% of hen.jpg changed class",
        "  got        at most 10.00% of an image changed, mean IoU 0.904545",
        "  expected   at most 5.00% of an image changed, mean IoU from 0.9",
        "  tolerance  fp32: for a test",
        "  where      hen.jpg",
        "Check whether the raw map agrees (test_agreement): if so, the classes are close to ties; use trained weights.",
    ]
    assert found.as_dict() == {
        "ok": False,
        "reasons": ["10.00% of hen.jpg changed class"],
        "max_changed": 0.1,
        "changed_pixels": 10,
        "mean_iou": pytest.approx(0.904545),
        "changed_limit": 0.05,
        "mean_iou_limit": 0.9,
        "worst": "hen.jpg",
    }
    swapped = judge_masks(1 - masks(), masks(), TOLERANCE, NAMES).report("lraspp x")
    beginning = "lraspp x: masks do not agree: 100.00% of bee.jpg changed class; mean IoU 0 is below 0.9"
    assert swapped.splitlines()[0] == beginning
    right = judge_masks(masks(), masks(), TOLERANCE, NAMES).report("lraspp x")
    assert right == "lraspp x: masks agree, 0 pixels changed class, at most 0.00% of an image changed, mean IoU 1"


def test_a_reference_that_never_changes_is_refused():
    same = numpy.stack([masks()[0]] * 2)
    assert "frozen engine" in judge_masks(same, same, TOLERANCE, NAMES).reasons[0]
    assert judge_masks(same[:1], same[:1], TOLERANCE, NAMES[:1]), "one image alone cannot show it"
    with pytest.raises(ValueError, match="for 1 names"):
        judge_masks(same, same, TOLERANCE, NAMES[:1])


def test_the_table_is_ordered_and_says_where_its_numbers_come_from():
    rows = list(TABLE.values())
    assert [row.precision for row in rows] == ["fp32", "tf32", "fp16", "int8"]
    for tighter, wider in zip(rows, rows[1:]):
        assert tighter.changed <= wider.changed and tighter.mean_iou >= wider.mean_iou
    assert all(len(row.source) > 20 for row in rows)
