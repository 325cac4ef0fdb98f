"""Tests of judging boxes: one partner each in any order; what is excused, what is not, what is refused."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext
from types import SimpleNamespace

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from benchmarks.test_detection import test_detection as in_suite
from fixtures.answers.boxes import Boxes, Limits
from fixtures.judge.detection import judge, stand_in_fault, with_few_boxes
from fixtures.judge.matching import iou, match, matched
from fixtures.judge.verdict import assert_verdict
from fixtures.models.zoo import ModelSpec
from fixtures.tolerances.boxes import TABLE, BoxTolerance

TOLERANCE = BoxTolerance("fp32", iou=0.99, score=0.05, median=0.01, unmatched=0.0, excused=0.25, source="for a test")
LIMITS = Limits(score_threshold=0.1, nms_threshold=0.45, most=100)


def boxes(*rows):
    """From (x1, y1, x2, y2, score, label)."""
    table = numpy.array(rows, numpy.float32).reshape(-1, 6)
    return Boxes(table[:, :4], table[:, 4], table[:, 5].astype(int))


REFERENCE = boxes(
    (0, 0, 100, 100, 0.9, 1), (0, 0, 100, 100, 0.8, 2), (200, 0, 250, 50, 0.7, 1), (0, 200, 40, 240, 0.3, 3)
)


def changed(**fields):
    """The reference with other arrays."""
    return dataclasses.replace(REFERENCE, **fields)


def verdict(actual, reference=REFERENCE, tolerance=TOLERANCE, limits=LIMITS):
    return judge([actual], [reference], tolerance, limits, ["bee.jpg"])


def rows(count=12, least=0):
    corner, side, score = some.integers(0, 60), some.integers(1, 40), some.floats(0.125, 1, width=32)
    row = some.builds(lambda x, y, w, h, s, c: (x, y, x + w, y + h, s, c), corner, corner, side, side, score,
                      some.integers(1, 2))  # fmt: skip
    return some.lists(row, min_size=least, max_size=count).map(lambda found: boxes(*found))


def moved(found, share):
    """Every box moved right by a share of its width; a third gives an IoU of 0.5."""
    right = share * (found.boxes[:, 2:3] - found.boxes[:, :1]) * [1, 0, 1, 0]
    return dataclasses.replace(found, boxes=found.boxes + right)


def together(*parts):
    fields = ("boxes", "scores", "labels")
    return Boxes(*(numpy.concatenate([getattr(part, name) for part in parts]) for name in fields))


@settings(max_examples=60, deadline=None)
@given(rows(least=1), rows(4), rows(4), some.floats(0, 0.3), some.randoms(use_true_random=False))
def test_pairs_are_one_to_one_of_one_class_and_independent_of_the_order(shared, ours, theirs, share, random):
    """Boxes that both sides have, moved a little on one side, and boxes that only one side has."""
    actual, reference = together(shared, ours), together(theirs, moved(shared, share))
    pairs = match(actual, reference, iou(actual.boxes, reference.boxes))
    assert pairs, "without a pair nothing below could fail"
    for side in (0, 1):
        assert len({pair[side] for pair in pairs}) == len(pairs)
    assert all(actual.labels[ours] == reference.labels[theirs] for ours, theirs in pairs)

    def shuffled(found):
        order = random.sample(range(len(found)), len(found))
        return Boxes(found.boxes[order], found.scores[order], found.labels[order])

    def values(ours, theirs):
        return sorted(
            (*ours.boxes[a], ours.scores[a], *theirs.boxes[b], theirs.scores[b])
            for a, b in match(ours, theirs, iou(ours.boxes, theirs.boxes))
        )

    assert values(actual, reference) == values(shuffled(actual), shuffled(reference))


@settings(max_examples=40, deadline=None)
@given(rows())
def test_boxes_are_their_own_partners(found):
    one = matched("bee.jpg", found, found, TOLERANCE, LIMITS)
    assert len(one.pairs) == len(found) and not one.unmatched and not one.excused
    assert set(one.ious) <= {1.0} and set(one.drifts) <= {0.0}


@settings(max_examples=40, deadline=None)
@given(rows(6), rows(6))
def test_no_box_is_lost(actual, reference):
    one = matched("bee.jpg", actual, reference, TOLERANCE, LIMITS)
    assert 2 * len(one.pairs) + len(one.unmatched) + len(one.excused) == len(actual) + len(reference)


def test_iou_by_hand():
    first = numpy.array([[0, 0, 2, 2], [5, 5, 5, 5]])
    second = numpy.array([[1, 0, 3, 2], [0, 0, 2, 2], [9, 9, 10, 10]])
    assert iou(first, second) == pytest.approx(numpy.array([[1 / 3, 1, 0], [0, 0, 0]]))
    assert iou(first[:0], second).shape == (0, 3)


def test_equal_boxes_agree():
    found = verdict(changed(boxes=REFERENCE.boxes + 0.01))
    assert found and found.matched == 4 and found.min_iou > 0.99 and found.unmatched == 0
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["min_iou"] == found.min_iou


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf])
def test_what_is_not_finite_is_none_in_the_json_of_a_run(value):
    found = verdict(changed(scores=REFERENCE.scores * numpy.float32(value)))
    assert not found and found.max_drift == numpy.inf and found.median_drift == numpy.inf
    row = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert (row["max_drift"], row["median_drift"], row["matched"]) == (None, None, 4)
    assert row["reasons"] == list(found.reasons) and "off by inf" in row["reasons"][0]


def shifted(pixels):
    return changed(boxes=REFERENCE.boxes + numpy.float32(pixels))


@pytest.mark.parametrize(
    ("actual", "reason"),
    [
        (shifted(1), "IoU 0.9059 is below 0.99"),
        (shifted(8), "IoU 0.5451 is below 0.99"),
        (changed(scores=REFERENCE.scores * numpy.float32(0.9)), "a score is off by 0.1 of itself, above 0.05"),
        (changed(scores=REFERENCE.scores * numpy.float32(0.97)), r"half of the scores are off by -0.03"),
        (changed(labels=REFERENCE.labels + 1), "without a partner"),
        (changed(scores=REFERENCE.scores * numpy.float32("nan")), "a score is off by inf"),
        (boxes(), "4 boxes without a partner"),
    ],
    ids=["a pixel", "8 pixels", "scores down", "all scores down a little", "other classes", "NaN", "nothing"],
)
def test_what_is_wrong_is_refused(actual, reason):
    found = verdict(actual)
    with pytest.raises(AssertionError, match=reason):
        assert_verdict(found, "ssd x")
    lines = found.report("ssd x").splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["got", "expected", "tolerance", "where"]
    assert "bee.jpg" in lines[-2] and "test_agreement" in lines[-1]


def without(index, *more):
    """The reference without one box, but with others."""
    kept = [row for row in range(len(REFERENCE)) if row != index]
    table = numpy.column_stack([REFERENCE.boxes, REFERENCE.scores, REFERENCE.labels])[kept]
    return boxes(*table, *more)


NEXT_TO_IT = (200, 300, 250, 350, 0.104, 1)
FAR_FROM_IT = (200, 300, 250, 350, 0.12, 1)


def test_a_box_next_to_the_threshold_may_flip_and_is_counted():
    whole = without(None, NEXT_TO_IT)
    for actual, reference in ((whole, REFERENCE), (REFERENCE, whole)):
        found = verdict(actual, reference)
        assert found and (found.excused, found.unmatched) == (1, 0)


def test_a_box_further_from_the_threshold_may_not():
    found = verdict(without(None, FAR_FROM_IT))
    assert not found and (found.excused, found.unmatched) == (0, 1)
    assert "only the twin has class 1 at [200.0, 300.0, 250.0, 350.0] with score 0.1200" in found.report("x")


def test_excuses_are_limited():
    many = [(20 * row, 400, 20 * row + 10, 410, 0.101, 1) for row in range(2)]
    found = verdict(without(None, *many))
    assert not found and found.reasons == ("2 boxes in need of an excuse",)


def test_at_the_cap_the_weakest_box_is_the_threshold():
    full = dataclasses.replace(LIMITS, most=4)
    other = without(3, (0, 300, 40, 340, 0.301, 3))
    assert not verdict(other)
    found = verdict(other, limits=full)
    assert found.excused == 2 and found.unmatched == 0


def test_nms_may_choose_either_of_two_neighbours_of_the_same_score():
    whole, half = boxes((0, 0, 100, 100, 0.89, 1)), boxes((0, 0, 100, 48, 0.9, 1))
    found = verdict(half, whole)
    assert found.excused == 2 and found.unmatched == 0, "IoU 0.48: too little to be one box, too much for NMS"
    assert verdict(half, boxes((0, 0, 100, 100, 0.6, 1))).unmatched == 2, "the scores are far apart"
    assert verdict(half, boxes((0, 0, 100, 130, 0.9, 1))).unmatched == 2, "IoU 0.37: NMS would leave both"


def test_a_reference_that_finds_nothing_is_refused():
    nearly_nothing = [boxes(), REFERENCE, boxes()]
    found = judge(nearly_nothing, nearly_nothing, TOLERANCE, LIMITS, ["bee.jpg", "hen.jpg", "cup.jpg"])
    assert not found and "boxes on only 1 of 3 images" in found.reasons[0]
    assert judge(nearly_nothing[:2], nearly_nothing[:2], TOLERANCE, LIMITS, ["bee.jpg", "hen.jpg"])
    with pytest.raises(ValueError, match="2 and 1 images' boxes for 1 names"):
        judge([REFERENCE] * 2, [REFERENCE], TOLERANCE, LIMITS, ["bee.jpg"])


@pytest.mark.parametrize(("spoilt", "right"), [(5, True), (6, False)])
@pytest.mark.parametrize("wrong", [0, 61, "alike"])
def test_the_stand_in_must_give_few_boxes_of_different_scores_on_nine_in_ten_images(wrong, spoilt, right):
    table = numpy.random.default_rng(0).permutation(61).astype(numpy.float32)
    many = Boxes(numpy.zeros((61, 4)), table / 61, numpy.ones(61, int))
    alike = dataclasses.replace(REFERENCE, scores=numpy.float32([0.5, 0.5, 0.4, 0.3]))
    good = dataclasses.replace(many, boxes=many.boxes[1:], scores=many.scores[1:], labels=many.labels[1:])
    per_image = [{0: boxes(), 61: many, "alike": alike}[wrong]] * spoilt + [good, REFERENCE] * 25
    assert with_few_boxes(per_image[:50]) == 50 - spoilt
    assert with_few_boxes([boxes((0, 0, 9, 9, 0.5, 1))]) == 1
    fault = stand_in_fault(per_image[:50])
    assert (fault == "") == right and (right or f"on only {50 - spoilt} of 50 images" in fault)


@pytest.mark.parametrize("kind", ["calibrated", "pretrained", "own"])
@pytest.mark.parametrize("bundled", [True, False])
def test_only_calibrated_weights_on_bundled_images_are_checked_for_it(kind, bundled, tmp_path):
    found = [REFERENCE, boxes()]
    model = SimpleNamespace(
        name="tiny",
        spec=ModelSpec("tiny", task="detection"),
        weights_kind=kind,
        sees_bundled=bundled,
        image_names=["bee.jpg", "hen.jpg"],
        judged=SimpleNamespace(readable=()),
        reference={},
        detector=SimpleNamespace(limits=LIMITS, boxes_of=lambda outputs, images: found),
    )
    twin, session = SimpleNamespace(name="x", precision="fp32", outputs={}), SimpleNamespace(settings=SimpleNamespace())
    session.settings.save_detections = None
    asked = kind == "calibrated" and bundled
    with pytest.raises(AssertionError, match="^tiny: the calibrated.* only 1 of 2 ") if asked else nullcontext():
        in_suite(model, twin, session, lambda *arguments, **fields: None, tmp_path)


def test_the_worst_image_is_named():
    found = judge([REFERENCE, shifted(1), REFERENCE], [REFERENCE] * 3, TOLERANCE, LIMITS, ["a", "b", "c"])
    assert found.worst == "b" and "IoU from 0.905" in found.where


def test_the_table_is_ordered_and_says_where_its_numbers_come_from():
    assert list(TABLE) == ["fp32", "tf32", "fp16", "int8"]
    rows = list(TABLE.values())
    for tighter, wider in zip(rows, rows[1:]):
        assert tighter.iou >= wider.iou and tighter.score <= wider.score and tighter.median <= wider.median
        assert tighter.unmatched <= wider.unmatched and tighter.excused <= wider.excused
    assert TABLE["fp32"].iou >= 0.99 and TABLE["fp32"].unmatched == 0
    assert all(len(row.source) > 20 for row in rows)
