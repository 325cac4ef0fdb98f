"""Boxes and masks in words, for reports."""

from __future__ import annotations

import numpy

from fixtures.answers.boxes import Boxes, best_boxes
from fixtures.answers.masks import NO_CLASS, largest_classes

NAMES = ("background", "cat", "dog")


def test_boxes_come_by_score_and_at_most_so_many():
    found = Boxes(numpy.zeros((3, 4)), numpy.array([0.4, 0.916, 0.7]), numpy.array([1, 2, 1]))
    assert best_boxes(found, NAMES) == ["dog 0.92", "cat 0.70", "cat 0.40"]
    assert best_boxes(found, None, 1) == ["class 2 0.92"]
    assert best_boxes(Boxes(numpy.zeros((0, 4)), numpy.zeros(0), numpy.zeros(0, int)), NAMES) == []


def test_classes_come_by_their_share_of_the_pixels():
    mask = numpy.array([[0, 0, 0, 2], [2, 2, 1, NO_CLASS]])
    assert largest_classes(mask, NAMES) == ["background 37.5 %", "dog 37.5 %", "cat 12.5 %"]
    assert largest_classes(mask, None, 1) == ["class 0 37.5 %"]
    assert largest_classes(numpy.full((2, 2), NO_CLASS), NAMES) == []
