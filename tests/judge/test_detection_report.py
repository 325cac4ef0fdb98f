"""Whole reports on boxes: every reason, and as many digits as are meaningful."""

from __future__ import annotations

import numpy

from tests.judge.test_detection import REFERENCE, boxes, changed, verdict

EXPECTED = [
    "  expected   IoU from 0.99, scores off by 0.05 at most (median 0.01), at most 0.0% unmatched and 25.0% excused",
    "  tolerance  fp32: for a test",
]
REMEDY = "Check whether the raw outputs agree (test_agreement): if so, look at the post-processing."


def test_every_reason_is_in_the_report():
    moved = changed(boxes=REFERENCE.boxes + numpy.float32(1), scores=REFERENCE.scores * numpy.float32(0.9))
    assert verdict(moved).report("ssd x").splitlines() == [
        "ssd x: boxes do not agree: 4 boxes in need of an excuse; IoU 0.9059 is below 0.99; a score is off by 0.1 of "
        "itself, above 0.05; half of the scores are off by -0.1 of themselves or more",
        "  got        4 of 4 boxes matched, IoU from 0.905896, scores off by at most 0.1 (median -0.1), 0 unmatched, "
        "4 excused",
        *EXPECTED,
        "  where      bee.jpg: IoU from 0.9059, scores off by 0.1 at most",
        REMEDY,
    ]


def test_what_was_not_measured_is_a_dash():
    report = verdict(boxes(), boxes((0, 0, 10, 10, 0.5, 1))).report("ssd x")
    assert report.splitlines() == [
        "ssd x: boxes do not agree: 1 box without a partner",
        "  got        0 of 1 boxes matched, IoU from –, scores off by at most – (median –), 1 unmatched, 0 excused",
        *EXPECTED,
        "  where      bee.jpg: only eager has class 1 at [0.0, 0.0, 10.0, 10.0] with score 0.5000",
        REMEDY,
    ]


def test_boxes_that_agree_are_one_line():
    assert verdict(REFERENCE).report("ssd x") == (
        "ssd x: boxes agree: 4 of 4 boxes matched, IoU from 1, scores off by at most 0 (median 0), 0 unmatched, "
        "0 excused"
    )
