"""Accuracy against labels, by hand: what counts as right, and how much a twin may lose."""

from __future__ import annotations

import math

import numpy
import pytest

from fixtures.common.errors import UserError
from fixtures.judge.accuracy import Accuracy, AccuracyDrop, accuracy, accuracy_drop

CLASSES = 16 * numpy.eye(3, 4)  # Three images of three of the four classes.


def test_accuracy_by_hand():
    logits = numpy.tile(numpy.arange(8.0), (8, 1))  # Class 7 is first, class 3 fifth, class 2 sixth, class 0 last.
    logits[1] *= -1  # The one without a label.
    found = accuracy(logits, numpy.array([7, -1, 7, 3, 2, 4, 1, 0]))
    assert found == Accuracy(top1_right=2, top5_right=4, total=7)
    assert found.as_dict() == {"top1": 2 / 7, "top5": 4 / 7, "total": 7}


def test_accuracy_without_labels_is_none():
    found = accuracy(CLASSES, numpy.array([-1, -1, -1]))
    assert found.as_dict() == {"top1": None, "top5": None, "total": 0}
    assert found.top1 is found.top5 is None


def test_an_output_that_is_not_finite_is_wrong_and_the_first_of_equal_logits_counts():
    logits = CLASSES.copy()
    logits[1, 1] = math.inf
    logits[2, 3] = math.nan
    assert accuracy(logits, numpy.array([0, 1, 2])) == Accuracy(1, 1, 3)
    zeros = numpy.zeros((3, 6))
    assert accuracy(zeros, numpy.array([0, 4, 5])) == Accuracy(1, 2, 3)


@pytest.mark.parametrize("label", [4, 1000, -2])
def test_a_label_without_a_class_is_refused(label):
    with pytest.raises(UserError, match=f"label {label}: the model has 4 classes, from 0; correct the labels"):
        accuracy(CLASSES[:2], numpy.array([3, label]))


@pytest.mark.parametrize(
    ("total", "lost", "passes"),
    [(50, 0, True), (50, 1, False), (99, 1, False), (100, 1, True), (100, 2, False), (200, 2, True), (200, 3, False)],
)
def test_one_point_is_counted_in_whole_images(total, lost, passes):
    eager = Accuracy(40, 45, total)
    for twin in (Accuracy(40 - lost, 45, total), Accuracy(40, 45 - lost, total)):
        assert bool(accuracy_drop(twin, eager)) == passes
    assert accuracy_drop(Accuracy(40 + lost, 45 + lost, total), eager)


def test_a_gain_in_top5_does_not_offset_a_loss_in_top1():
    found = accuracy_drop(Accuracy(39, 46, 50), Accuracy(40, 45, 50))
    assert not found
    assert (found.top1_lost, found.top5_lost, found.allowed) == (1, -1, 0)


def test_another_limit():
    assert accuracy_drop(Accuracy(38, 45, 50), Accuracy(40, 45, 50), limit_points=4)
    assert not accuracy_drop(Accuracy(37, 45, 50), Accuracy(40, 45, 50), limit_points=5.9)


@pytest.mark.parametrize("totals", [(0, 0), (50, 49), (0, 50)])
def test_accuracies_that_cannot_be_compared_are_refused(totals):
    found = accuracy_drop(Accuracy(0, 0, totals[0]), Accuracy(0, 0, totals[1]))
    assert not found
    assert found.report("x") == (
        "x: no labels, or different images on the two sides\nAdd labels, or deselect test_accuracy."
    )  # fmt: skip


def test_the_report_says_how_many_points_one_image_is():
    assert accuracy_drop(Accuracy(39, 46, 50), Accuracy(40, 45, 50)).report("x").splitlines() == [
        "x: the twin is not right as often as eager",
        "  got        1 image lost in top-1, -1 in top-5, net",
        "  expected   at most 0",
        "  tolerance  1 points; one of the 50 labelled images is 2 points",
        "The verdict on top-1 names the images. More labelled images make the limit finer.",
    ]
    assert accuracy_drop(Accuracy(1, 1, 1), Accuracy(1, 1, 1))
    report = accuracy_drop(Accuracy(30, 30, 32), Accuracy(30, 30, 32)).report("x")
    assert report.startswith("x: the twin is right as often")
    assert "one of the 32 labelled images is 3.1 points" in report


@pytest.mark.parametrize("kind", [Accuracy, AccuracyDrop])
def test_verdicts_cannot_be_changed(kind):
    assert kind.__dataclass_params__.frozen
