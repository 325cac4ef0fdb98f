"""Tests of judging boxes: what NMS may have chosen differently is excused and counted, and nothing else is."""

from __future__ import annotations

import dataclasses

import numpy
import pytest

from fixtures.judge.matching import matched
from fixtures.tolerances.boxes import TABLE
from tests.judge.test_detection import LIMITS, boxes, shifted, verdict, without

# Beside the four of the reference eight more, so that a quarter of them are three.
CROWD = [(0, 500 + 60 * row, 50, 550 + 60 * row, 0.5 + row / 100, 4) for row in range(8)]
# IoU 0.6667 with the first box of the reference: NMS leaves one of the two.
NEIGHBOUR = (0, 20, 100, 120)


def swapped(*neighbour):
    """The verdict if NMS kept the first box for eager and this neighbour of it for the twin."""
    return verdict(without(0, neighbour, *CROWD), without(None, *CROWD))


def test_two_boxes_that_nms_chose_between_are_not_a_pair_and_both_count():
    found = swapped(*NEIGHBOUR, 0.89, 1)
    assert found and (found.excused, found.unmatched, found.matched) == (2, 0, 11)
    assert found.min_iou == 1.0 and found.max_drift == 0.0


@pytest.mark.parametrize(
    ("neighbour", "reason"),
    [((*NEIGHBOUR, 0.7, 1), "IoU 0.6667 is below 0.99"), ((*NEIGHBOUR, 0.89, 2), "without a partner")],
    ids=["scores far apart", "another class"],
)
def test_what_nms_did_not_choose_between_has_no_such_excuse(neighbour, reason):
    found = swapped(*neighbour)
    assert not found and reason in "; ".join(found.reasons)


def test_a_single_box_that_moved_is_counted_as_a_choice_of_nms():
    """The kept boxes alone cannot show the difference. Whether the raw outputs agree is another test."""
    assert swapped(0, 1, 100, 101, 0.89, 1).excused == 2


def test_too_many_such_choices_are_boxes_that_moved():
    found = verdict(shifted(8))
    assert not found and (found.matched, found.excused) == (3, 8) and found.min_iou < 0.6
    assert any("IoU 0.5451 is below" in reason for reason in found.reasons)
    assert any("in need of an excuse" in reason for reason in found.reasons)


def test_an_overlap_at_nms_threshold_may_decide_either_way():
    beside = (0, 0, 100, 45.5, 0.5, 1)  # IoU 0.455 with the first box
    assert verdict(without(None, beside)).excused == 1
    assert verdict(without(None, (0, 0, 100, 40, 0.5, 1))).unmatched == 1


# NMS's excuses are asked about a box of 0.9, far from the threshold at every row's tolerance.
LOW = dataclasses.replace(LIMITS, score_threshold=0.01)
every_row = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())


def one_sided(extra, beside, row):
    """How many are excused and unmatched if the twin has `beside` and `extra`, but eager only `beside`."""
    found = matched("bee.jpg", boxes(*beside, extra), boxes(*beside), row, LOW)
    return len(found.excused), len(found.unmatched)


@every_row
def test_a_lone_box_has_no_excuse_at_any_precision(row):
    lone = (500, 500, 600, 600, 0.9, 1)
    assert one_sided(lone, [], row) == (0, 1)
    assert one_sided(lone, [(0, 0, 100, 100, 0.95, 1)], row) == (0, 1)


@every_row
def test_only_a_stronger_neighbour_of_both_sides_excuses_an_overlap(row):
    # IoU 0.4493 with the neighbour: NMS's threshold is 0.45.
    box = (0, 38, 100, 138, 0.9, 1)
    assert one_sided(box, [(0, 0, 100, 100, 0.95, 1)], row) == (1, 0)
    assert one_sided(box, [(0, 0, 100, 100, 0.5, 1)], row) == (0, 1), "the neighbour is weaker"
    assert one_sided(box, [(0, 0, 100, 100, 0.95, 2)], row) == (0, 1), "the neighbour is of another class"
    alone = matched("bee.jpg", boxes((0, 0, 100, 100, 0.95, 1), box), boxes(), row, LOW)
    assert len(alone.unmatched) == 2, "eager has no such neighbour"


@every_row
def test_nms_does_not_choose_between_scores_far_apart_at_any_precision(row):
    # IoU 0.48, of 0.9 and of 0.3.
    found = matched("bee.jpg", boxes((0, 0, 100, 100, 0.9, 1)), boxes((0, 35, 100, 135, 0.3, 1)), row, LOW)
    assert any("0.9000" in words for words in found.unmatched)


@every_row
@pytest.mark.parametrize("extra", [(0, 38, numpy.nan, 138, 0.9, 1), (0, 38, 100, 138, numpy.nan, 1),
                                   (0, 38, 100, 138, numpy.inf, 1), (0, 38, numpy.inf, 138, 0.01, 1)])  # fmt: skip
def test_a_box_that_is_not_finite_has_no_excuse(extra, row):
    assert one_sided(extra, [(0, 0, 100, 100, 0.95, 1)], row) == (0, 1)
