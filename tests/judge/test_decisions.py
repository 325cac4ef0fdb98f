"""Decisions: the exact limits of what is excused, by hand, and what the report says."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy
import pytest
from hypothesis import settings

from fixtures.answers.classes import predictions
from fixtures.judge.decisions import Flip, Overlap, Top1Verdict, top1, top5_overlap
from fixtures.judge.verdict import assert_verdict
from fixtures.tolerances.outputs import Tolerance, tolerance

QUICKLY = settings(deadline=None, max_examples=40, derandomize=True)
CATEGORIES = ("ant", "bee", "cat", "dog")
# Scale 8, error limit 1/32: a flip is excusable across a margin of at most 2 · 8 / 32 = 0.5.
LIMIT = Tolerance("fp16", 1 / 32, 0.9, flips_excused=1, source="by hand")


def names(count):
    return [f"{number}.jpg" for number in range(count)]


def decided(count, margin=4.0):
    """Reference logits (count, 4): 8 for class i mod 4, `margin` less for the next class, far less for the others."""
    logits = numpy.full((count, 4), -8.0)
    rows = numpy.arange(count)
    logits[rows, rows % 4] = 8
    logits[rows, (rows + 1) % 4] = 8 - margin
    return logits


def flipped(reference, *rows):
    """The logits, with the best and second best class of these images swapped."""
    logits = reference.copy()
    for row in rows:
        first, second = row % 4, (row + 1) % 4
        logits[row, [first, second]] = logits[row, [second, first]]
    return logits


def test_the_same_decisions():
    found = top1(decided(3) * 2 - 1, decided(3), LIMIT, names(3))
    assert found
    assert (found.same, found.total, found.agreement, found.flips, found.excused) == (3, 3, 1.0, (), 0)


def test_a_flip_names_the_image_and_both_classes():
    found = top1(flipped(decided(5), 2), decided(5), LIMIT, names(5), CATEGORIES)
    assert not found
    assert (found.same, found.total, found.agreement, found.excused) == (4, 5, 0.8, 0)
    (flip,) = found.flips
    assert (flip.photograph, flip.expected, flip.got, flip.margin, flip.excusable_margin) == ("2.jpg", 2, 3, 4.0, 0.5)
    assert str(flip) == "2.jpg: got dog, expected cat (reference margin 4, excusable 0.5)"
    assert found.reason == "another top-1 on 1 of 5 images"


def test_classes_without_names_go_by_number():
    (flip,) = top1(flipped(decided(5), 2), decided(5), LIMIT, names(5)).flips
    assert (flip.expected_name, flip.got_name) == ("class 2", "class 3")


@pytest.mark.parametrize(
    ("margin", "excused"),
    [(0.25, 1), (0.5, 1), (0.5 + 2**-50, 0), (4.0, 0)],
)
def test_a_flip_is_excused_up_to_twice_the_tolerance_and_no_further(margin, excused):
    reference = decided(50)
    reference[7, 0] = 8 - margin  # Image 7 is of class 3, the next is 0.
    found = top1(flipped(reference, 7), reference, LIMIT, names(50))
    assert (found.excused, bool(found), len(found.flips), found.same) == (excused, bool(excused), 1, 49)


def test_the_excusable_margin_goes_with_the_scale_of_the_whole_set():
    reference = decided(50, margin=0.5)
    assert top1(flipped(reference, 7), reference, LIMIT, names(50))
    reference[:, 2] = numpy.where(reference[:, 2] == 8, 8, -7)
    reference[9, 3] = -16  # The largest value may be negative, and elsewhere.
    (flip,) = top1(flipped(reference, 7), reference, LIMIT, names(50)).flips
    assert flip.excusable_margin == 1


def test_a_jump_to_a_class_far_behind_is_not_excused_by_a_close_second_best():
    reference = decided(50, margin=0.01)
    actual = reference.copy()
    actual[4, 2] = 9
    found = top1(actual, reference, LIMIT, names(50))
    assert not found
    assert (found.flips[0].margin, found.excused) == (16, 0)


@pytest.mark.parametrize(("count", "allowed"), [(8, 0), (49, 0), (50, 1), (99, 1), (100, 2), (149, 2)])
def test_at_most_one_flip_in_fifty_images_is_excused(count, allowed):
    reference = decided(count, margin=0.25)
    for flips in range(4):
        found = top1(flipped(reference, *range(flips)), reference, LIMIT, names(count))
        assert found.allowed == allowed
        assert found.excused == min(flips, allowed)
        assert bool(found) == (flips <= allowed)


def test_fp32_is_never_excused():
    reference = decided(500, margin=1e-9)
    for kind in ("trained", "calibrated"):
        found = top1(flipped(reference, 3), reference, tolerance("fp32", kind), names(500))
        assert not found
        assert (found.excused, found.allowed) == (0, 0)


def test_an_excusable_and_an_inexcusable_flip():
    reference = decided(100)
    reference[3, 0] = 7.75
    found = top1(flipped(reference, 3, 8), reference, LIMIT, names(100))
    assert not found
    assert [flip.photograph for flip in found.flips] == ["8.jpg", "3.jpg"]  # The widest margin comes first.
    assert (found.excused, found.allowed, found.reason) == (1, 2, "another top-1 on 1 of 100 images")


def test_each_of_several_largest_logits_of_the_reference_is_right():
    reference = numpy.array([[8.0, 8, 0, 0], [0, 0, 8, 1]])
    fp32 = tolerance("fp32", "trained")
    for first in ([9, 8, 0, 0], [8, 9, 0, 0], [8, 8, 0, 0]):
        assert top1(numpy.array([first, [0.0, 0, 8, 1]]), reference, fp32, names(2))
    assert not top1(numpy.array([[8.0, 8, 9, 0], [0, 0, 8, 1]]), reference, fp32, names(2))


def test_of_several_largest_logits_of_the_twin_the_first_counts():
    reference = numpy.array([[0.0, 8, 0, 0], [0, 0, 8, 1]])
    tied = numpy.array([[8.0, 8, 0, 0], [0, 0, 8, 1]])
    assert [flip.got for flip in top1(tied, reference, LIMIT, names(2)).flips] == [0]
    tied = numpy.array([[0.0, 8, 8, 0], [0, 0, 8, 1]])
    assert top1(tied, reference, LIMIT, names(2))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(4))
def test_an_output_that_is_not_finite_is_a_flip_and_never_excused(place, value):
    reference = decided(50, margin=0.01)
    actual = reference.copy()
    actual[1, place] = value
    found = top1(actual, reference, replace(LIMIT, flips_excused=50), names(50), CATEGORIES)
    assert not found
    (flip,) = found.flips
    assert (flip.photograph, flip.expected, flip.got, flip.margin) == ("1.jpg", 1, None, math.inf)
    assert "got no finite output, expected bee" in str(flip)
    json.dumps(found.as_dict(), allow_nan=False)
    assert found.as_dict()["top1_flips"][0]["margin"] is None


@pytest.mark.parametrize(
    ("actual", "reference", "reason"),
    [
        (decided(3), decided(4), "got shape (3, 4), expected (4, 4)"),
        (decided(4)[..., None], decided(4)[..., None], "expected N×C"),
        (decided(4), numpy.where(decided(4) == 8, math.nan, decided(4)), "reference itself is not finite"),
        (decided(4), decided(4)[[0, 0, 0, 0]], "a frozen engine would pass"),
        (decided(4), decided(4) * 0, "the reference is zero everywhere"),
        (decided(4), decided(4) * [[1], [1], [0], [1]], "gives all classes the same logit"),
        (decided(4)[:, :1], decided(4)[:, :1], "gives all classes the same logit"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(actual, reference, reason):
    found = top1(actual, reference, LIMIT, names(4))
    assert not found
    assert reason in found.reason
    assert found.tolerance == LIMIT
    assert (found.same, found.total, found.agreement, found.excused, found.allowed) == (0, 0, 0, 0, 0)
    assert found.report("x").splitlines() == [f"x: top-1 does not agree: {found.reason}", found.remedy]
    assert found.remedy


def test_the_report_says_got_expected_tolerance_where_and_the_remedy_last():
    found = top1(flipped(decided(50), *range(7)), decided(50), LIMIT, names(50), CATEGORIES)
    assert found.report("resnet18 tensorrt_fp16").splitlines() == [
        "resnet18 tensorrt_fp16: top-1 does not agree: another top-1 on 7 of 50 images",
        "  got        the same top-1 on 43 of 50 images",
        "  expected   on all; 0 flips are excused, at most 1 may be",
        "  tolerance  fp16: a flip is excusable up to a reference margin of 0.0625 of the reference's largest value",
        "  where      0.jpg: got bee, expected ant (reference margin 4, excusable 0.5)",
        "             1.jpg: got cat, expected bee (reference margin 4, excusable 0.5)",
        "             2.jpg: got dog, expected cat (reference margin 4, excusable 0.5)",
        "             3.jpg: got ant, expected dog (reference margin 4, excusable 0.5)",
        "             4.jpg: got bee, expected ant (reference margin 4, excusable 0.5)",
        "See whether the outputs agree (test_agreement), and fix that first.",
    ]
    agreeing = top1(decided(50), decided(50), LIMIT, names(50)).report("x").splitlines()
    assert agreeing[0] == "x: top-1 agrees"
    assert len(agreeing) == 4
    with pytest.raises(AssertionError, match="^bad: top-1 does not agree"):
        assert_verdict(found, "bad")


def test_the_dictionary_shares_no_key_with_an_agreements():
    found = top1(flipped(decided(50, margin=0.5), 2), decided(50, margin=0.5), LIMIT, names(50), CATEGORIES)
    assert found.as_dict() == {
        "top1_ok": True, "top1_reason": "", "top1_same": 49, "top1_total": 50, "top1_agreement": 0.98,
        "top1_excused": 1,
        "top1_flips": [{
            "photograph": "2.jpg", "expected": 2, "got": 3, "expected_name": "cat", "got_name": "dog", "margin": 0.5,
            "excusable_margin": 0.5,
        }],
    }  # fmt: skip
    json.dumps(found.as_dict(), allow_nan=False)


def test_the_overlap_of_the_best_five():
    reference = numpy.array([numpy.arange(10.0), numpy.arange(10.0)[::-1], numpy.arange(10.0)])
    actual = reference.copy()
    actual[0, [5, 4]] = actual[0, [4, 5]]  # The fifth and the sixth change places.
    actual[1, [0, 4]] = actual[1, [4, 0]]  # The first and the fifth: the set stays.
    actual[2] = -actual[2]
    found = top5_overlap(actual, reference)
    assert found.per_image == (0.8, 1.0, 0.0)
    assert found.mean == pytest.approx(0.6)
    assert top5_overlap(decided(4), -decided(4)).mean == 1  # All four classes.
    actual[1, 9] = math.nan
    assert top5_overlap(actual, reference).per_image == (0.8, 0.0, 0.0)
    with pytest.raises(ValueError, match="expected \\(3, 10\\)"):
        top5_overlap(actual[:2], reference)


@pytest.mark.parametrize("kind", [Flip, Top1Verdict, Overlap])
def test_verdicts_cannot_be_changed(kind):
    assert kind.__dataclass_params__.frozen


def test_predictions_by_name():
    logits = numpy.log([[0.1, 0.2, 0.4, 0.3], [0.25, 0.25, 0.25, 0.25]])
    found = predictions(logits, CATEGORIES, names(2), k=2)
    assert [row["photograph"] for row in found] == ["0.jpg", "1.jpg"]
    assert [row["indices"] for row in found] == [[2, 3], [0, 1]]
    assert [row["names"] for row in found] == [["cat", "dog"], ["ant", "bee"]]
    assert found[0]["probabilities"] == pytest.approx([0.4, 0.3])
    assert [len(row["indices"]) for row in predictions(numpy.eye(2, 9), None, names(2))] == [5, 5]
    assert predictions(logits, None, names(2))[0]["names"] == ["class 2", "class 3", "class 1", "class 0"]


def test_predictions_are_safe_for_json():
    logits = decided(2).astype(numpy.float32)
    logits[1, 3] = math.nan
    found = predictions(logits, CATEGORIES, names(2))
    json.dumps(found, allow_nan=False)
    assert found[1]["probabilities"] == [None] * 4
    assert sum(found[0]["probabilities"]) == pytest.approx(1)
