"""What a user's `decode` returns: boxes, or one line that says what is wrong with them."""

from __future__ import annotations

import numpy
import pytest

from fixtures.answers.boxes import Boxes
from fixtures.answers.own_detector import OwnDetector
from fixtures.common.errors import ModelFault
from fixtures.models.zoo import ModelSpec

OUTPUTS = {"output": numpy.zeros((1, 2), numpy.float32)}


def found(given, class_names=("cat", "dog")):
    spec = ModelSpec(
        "mine", task="detection", class_names=class_names, decode=lambda outputs, size: given,
        decode_limits=(0.5, 0.6, 9),
    )  # fmt: skip
    return OwnDetector(spec, (8, 8)).boxes(OUTPUTS, (16, 32))


@pytest.mark.parametrize("form", [tuple, list, lambda parts: Boxes(*map(numpy.array, parts))])
def test_boxes_come_with_the_highest_score_first(form):
    boxes = found(form(([[0, 0, 1, 2], [3, 3, 9, 9]], [0.3, 0.8], [1, 0])))
    assert boxes.scores.tolist() == [0.8, 0.3] and boxes.labels.tolist() == [0, 1]
    assert boxes.boxes.tolist() == [[3, 3, 9, 9], [0, 0, 1, 2]]


def test_no_boxes_and_boxes_without_area_are_none():
    assert len(found(([], [], []))) == 0 and found(([], [], [])).boxes.shape == (0, 4)
    assert found(([[0, 0, 0, 2], [0, 0, 1, 1]], [0.9, 0.3], [0, 0])).scores.tolist() == [0.3]


def test_limits_are_those_that_the_user_gives():
    detector = OwnDetector(ModelSpec("mine", decode=lambda *_: None, decode_limits=(0.5, 0.6, 9)), (8, 8))
    assert (detector.limits.score_threshold, detector.limits.nms_threshold, detector.limits.most) == (0.5, 0.6, 9)


ONE = [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "decode returns a NoneType; decode must return boxes N×4"),
        ((ONE, [0.5]), "decode returns 2 values"),
        ((ONE, [0.5, 0.6], [0, 0]), "decode returns boxes (1, 4), scores (2,) and labels (2,)"),
        (([[0, 0, 1]], [0.5], [0]), "decode returns boxes (1, 3), scores (1,)"),
        ((ONE, [[0.5]], [[0]]), "decode returns boxes (1, 4), scores (1, 1)"),
        ((ONE, [7.0], [0]), "decode returns scores from 7 to 7, which must be within 0 and 1"),
        ((ONE, [float("nan")], [0]), "which must be within 0 and 1"),
        ((ONE, [0.5], [0.5]), "labels that are not whole numbers"),
        (([[5, 5, 2, 2]], [0.5], [0]), "decode returns boxes with x2 < x1 or y2 < y1"),
        ((ONE, [0.5], [2]), "decode returns labels from 2 to 2, and class_names has 2 names"),
    ],
)
def test_invalid_boxes_are_one_line(given, expected):
    with pytest.raises(ModelFault) as refused:
        found(given)
    assert expected in str(refused.value) and "\n" not in str(refused.value)


def test_without_class_names_any_label_is_one():
    assert found((ONE, [0.5], [79]), class_names=()).labels.tolist() == [79]


def test_a_decode_that_fails_names_its_line():
    spec = ModelSpec("mine", decode=lambda outputs, size: outputs["boxes"])
    with pytest.raises(ModelFault, match=r"decode fails \(KeyError: 'boxes', at test_own_detector.py:\d+\)"):
        OwnDetector(spec, (8, 8)).boxes(OUTPUTS, (4, 4))
