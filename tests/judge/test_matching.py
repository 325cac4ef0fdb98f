"""Matching by hand: closest pair first, IoU of odd boxes, inclusive limits, and what the report says."""

from __future__ import annotations

import warnings

import numpy
import pytest

from fixtures.answers.boxes import Limits
from fixtures.judge.detection import judge
from fixtures.judge.matching import iou, match, matched
from fixtures.tolerances.boxes import BoxTolerance
from tests.judge.test_detection import boxes

# Powers of two, so that a limit can be met exactly.
EXACT = BoxTolerance("fp32", iou=0.75, score=0.25, median=0.125, unmatched=0.25, excused=0.25, source="by hand")
LIMITS = Limits(score_threshold=0.25, nms_threshold=0.5, most=100)
WHOLE = (0, 0, 64, 64, 0.5, 1)
FAR = (500, 500, 564, 564, 0.9, 1)


def pairs(actual, reference):
    return match(actual, reference, iou(actual.boxes, reference.boxes))


def compared(actual, reference, tolerance=EXACT, limits=LIMITS):
    return matched("bee.jpg", actual, reference, tolerance, limits)


@pytest.mark.parametrize("turned", [False, True])
def test_the_closest_pair_comes_first_whatever_the_scores(turned):
    near, far = (0, 0, 64, 60, 0.9, 1), (0, 0, 64, 48, 0.5, 1)
    rows = [far, near] if turned else [near, far]
    assert pairs(boxes(WHOLE), boxes(*rows)) == [(0, rows.index(near))]


@pytest.mark.parametrize("turned", [False, True])
def test_of_equal_overlaps_the_nearer_scores_and_then_the_larger_ones_are_paired(turned):
    def ordered(*rows):
        return rows[::-1] if turned else rows

    alike, apart = (*WHOLE[:4], 0.55, 1), (*WHOLE[:4], 0.3, 1)
    rows = ordered(alike, apart)
    assert pairs(boxes(WHOLE), boxes(*rows)) == [(0, rows.index(alike))]
    large, small = (*WHOLE[:4], 0.75, 1), (*WHOLE[:4], 0.25, 1)
    rows = ordered(large, small)
    assert pairs(boxes(*rows), boxes(WHOLE)) == [(rows.index(large), 0)], "both are 0.25 off"


def test_half_an_overlap_makes_one_box_and_less_makes_two():
    assert pairs(boxes(WHOLE), boxes((0, 0, 64, 32, 0.5, 1))) == [(0, 0)]
    assert pairs(boxes(WHOLE), boxes((0, 0, 64, 31, 0.5, 1))) == []


def test_iou_of_odd_boxes():
    """Apart in both directions, inverted, smaller than a pixel, and without area."""

    def one(first, second):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return float(iou(numpy.array([first]), numpy.array([second]))[0, 0])

    assert one([0, 0, 1, 1], [5, 5, 6, 6]) == 0
    assert one([3, 3, 1, 1], [0, 0, 4, 4]) == 0
    assert one([0, 0, 0.5, 0.5], [0, 0, 0.5, 0.25]) == 0.5
    assert one([5, 5, 5, 5], [5, 5, 5, 5]) == 0
    whole = numpy.array([[0, 0, 2, 2]])
    assert iou(whole, whole.astype(numpy.float32)).dtype == numpy.float64


def test_scores_of_zero_are_not_off():
    (drift,) = compared(boxes((*WHOLE[:4], 0, 1)), boxes((*WHOLE[:4], 0, 1))).drifts
    assert drift == 0


def unpaired(actual, reference, **limits):
    """Which boxes that only one side has are excused."""
    found = compared(boxes(*actual), boxes(*reference), limits=Limits(**{**vars(LIMITS), **limits}))
    return found.excused, found.unmatched


def test_what_only_one_side_has_is_listed_with_the_reason():
    box = "class 1 at [0.0, 0.1, 64.0, 64.0] with score 0.9000"
    row = (0, 0.123, 64, 64, 0.9, 1)
    assert unpaired([row], []) == ((), (f"only the twin has {box}",))
    assert unpaired([], [row]) == ((), (f"only eager has {box}",))
    excused = f"only eager has {box} (score at the threshold)"
    assert unpaired([], [row], score_threshold=0.9) == ((excused,), ())


def test_a_score_as_near_to_the_threshold_as_it_may_drift_is_excused_and_no_further():
    # 0.25 is off by a quarter of 1/3, and by more of 0.34.
    limit, above = (*WHOLE[:4], 0.25 / 0.75, 1), (*WHOLE[:4], 0.34, 1)
    exact = numpy.float32(0.25 / 0.75)
    threshold = float(exact) * 0.75
    assert unpaired([limit], [], score_threshold=threshold)[1] == ()
    assert len(unpaired([above], [], score_threshold=threshold)[1]) == 1


@pytest.mark.parametrize(
    ("tolerance_iou", "overlap", "excused"),
    [(0.9375, 40, True), (0.9375, 24, True), (0.9375, 41, False), (0.9375, 23, False), (0.75, 44, True),
     (0.75, 45, False), (0.75, 20, True), (0.75, 19, False)],
)  # fmt: skip
def test_an_overlap_is_next_to_nms_threshold_by_twice_the_tolerance_and_by_a_fifth_at_most(
    tolerance_iou, overlap, excused
):
    """`overlap` rows of a box of 64 rows have the IoU overlap / 64. NMS's threshold is 32 / 64."""
    tolerance = BoxTolerance("fp32", tolerance_iou, score=1e-3, median=0.1, unmatched=0, excused=1, source="by hand")
    strong = (0, 0, 64, 64, 0.9, 1)
    found = compared(boxes(strong, (0, 0, 64, overlap, 0.8, 1)), boxes(strong), tolerance)
    assert [words.endswith("(overlap at NMS's threshold)") for words in found.excused] == [True] * excused
    assert len(found.unmatched) == 1 - excused


def test_a_neighbour_of_the_same_score_is_strong_enough():
    same = (0, 0, 64, 64, 0.9, 1)
    assert len(compared(boxes(same, (0, 0, 64, 32, 0.9, 1)), boxes(same)).excused) == 1


@pytest.mark.parametrize(
    ("score", "rival", "excused"),
    [(0.125, 0.75, True), (0.125, 0.74, False), (0.25, 0.5, True), (0.25, 0.49, False), (0.5, 0.5, True),
     (0.5, 0.49, False)],
)  # fmt: skip
def test_nms_chooses_between_scores_apart_by_twice_the_tolerance_and_by_half_at_most(score, rival, excused):
    tolerance = BoxTolerance("fp32", 0.999, score, median=0.1, unmatched=0, excused=1, source="by hand")
    limits = {"score_threshold": 1e-3, "nms_threshold": 0.4}
    ours, theirs = (0, 0, 64, 64, 1.0, 1), (0, 0, 64, 31, rival, 1)  # IoU 0.484: two boxes, of which NMS leaves one.
    found = compared(boxes(ours), boxes(theirs), tolerance, Limits(**{**vars(LIMITS), **limits}))
    reason = "(NMS chose its neighbour of the same score)"
    assert [words.endswith(reason) for words in found.excused] == [True, True] * excused


def test_at_nms_own_threshold_both_neighbours_stay():
    """NMS drops what overlaps by more than the threshold, so a rival exactly at it does not explain a missing box."""
    limits = Limits(score_threshold=1e-3, nms_threshold=0.25, most=100)
    tolerance = BoxTolerance("fp32", 1.0, score=0.5, median=0.1, unmatched=0, excused=1, source="by hand")
    ours, theirs = boxes((0, 0, 64, 64, 0.9, 1)), boxes((0, 0, 64, 16, 0.9, 1))
    assert len(compared(ours, theirs, tolerance, limits).unmatched) == 2


def verdict(actual, reference, **limits):
    tolerance = BoxTolerance(**{**vars(EXACT), **limits})
    return judge([boxes(*actual)], [boxes(*reference)], tolerance, LIMITS, ["bee.jpg"])


def test_every_limit_of_a_verdict_is_inclusive():
    lower = [(*WHOLE[:3], 48, 0.5, 1)]
    assert verdict(lower, [WHOLE], iou=0.75) and not verdict(lower, [WHOLE], iou=0.76)
    weaker, strong = [(*WHOLE[:4], 0.375, 1)], [(*WHOLE[:4], 0.5, 1)]
    assert verdict(weaker, strong, score=0.25, median=0.25)
    assert not verdict(weaker, strong, score=0.24, median=0.25)
    assert not verdict(weaker, strong, score=0.25, median=0.24)
    four = [(100 * row, 0, 100 * row + 64, 64, 0.9, 1) for row in range(4)]
    assert verdict(four[1:], four, unmatched=0.25) and not verdict(four[1:], four, unmatched=0.24)
    assert not verdict(four[2:], four, unmatched=0.25), "a share of the boxes, not their number"


def test_a_verdict_counts_and_shows_what_it_saw():
    found = judge(
        [boxes(WHOLE, FAR), boxes(WHOLE), boxes()],
        [boxes(WHOLE), boxes((*WHOLE[:3], 60, 0.4, 1)), boxes()],
        EXACT,
        LIMITS,
        ["bee.jpg", "hen.jpg", "cup.jpg"],
    )
    assert (found.boxes, found.photographs, found.with_boxes, found.matched) == (2, 3, 2, 2)
    assert (found.unmatched, found.excused, found.worst) == (1, 0, "bee.jpg")
    assert found.report("ssd x").splitlines() == [
        "ssd x: boxes do not agree: 1 box without a partner",
        "  got        2 of 2 boxes matched, IoU from 0.9375, scores off by at most 0.2 (median 0.1), 1 unmatched,"
        " 0 excused",
        "  expected   IoU from 0.75, scores off by 0.25 at most (median 0.125), at most 25.0% unmatched and"
        " 25.0% excused",
        "  tolerance  fp32: by hand",
        "  where      bee.jpg: only the twin has class 1 at [500.0, 500.0, 564.0, 564.0] with score 0.9000",
        "Check whether the raw outputs agree (test_agreement): if so, look at the post-processing.",
    ]
    assert {key: found.as_dict()[key] for key in ("boxes", "photographs", "with_boxes", "score_limit")} == {
        "boxes": 2, "photographs": 3, "with_boxes": 2, "score_limit": 0.25,
    }  # fmt: skip


def test_where_nothing_was_found_no_figure_is_made_up():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = judge([boxes()], [boxes()], EXACT, LIMITS, ["bee.jpg"])
    assert (found.min_iou, found.max_drift, found.median_drift) == (None, None, None)
    assert found.figures().startswith("0 of 0 boxes matched, IoU from –, scores off by at most – (median –)")
    assert found.where == "IoU from 1, scores off by 0 at most"


def test_several_boxes_alone_are_listed_one_after_the_other():
    found = verdict([WHOLE, FAR], [])
    assert found.where.count("; ") == 1 and found.where.count("only the twin has") == 2
