"""Agreement: exact numbers and boundaries by hand, what is refused, and what the report says."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import settings

from fixtures.answers.classes import softmax
from fixtures.common.outputs import largest
from fixtures.judge.agreement import agree, agree_all
from fixtures.tolerances.outputs import Tolerance

QUICKLY = settings(deadline=None, max_examples=40, derandomize=True)
NAMES = ("cat.jpg", "dog.jpg")
# Powers of two keep every figure below exact. The scale is 8, the errors 1/16 and 1/8 of it.
REFERENCE = numpy.array([[4.0, 2.0, -8.0], [1.0, 0.0, 2.0]])
ACTUAL = numpy.array([[4.0, 2.5, -8.0], [1.0, 0.0, 1.0]])


def within(relative_error: float, cosine: float = -1.0, **limits) -> Tolerance:
    return Tolerance("fp16", relative_error, cosine, flips_excused=1, source="by hand", **limits)


def test_figures_by_hand():
    found = agree(ACTUAL, REFERENCE, within(1 / 16), NAMES)
    assert found.scale == 8
    assert found.max_relative_error == 1 / 8
    assert found.mean_relative_error == pytest.approx((1 / 16 + 1 / 8) / 6, rel=1e-15)
    assert found.cosine == pytest.approx(3 / math.sqrt(2 * 5), rel=1e-15)
    assert found.mismatch_fraction == 1 / 6
    assert found.smallest_passing_tolerance == 1 / 8
    assert (found.non_finite, found.output) == (0, "")
    places = [(at.photograph, at.index, at.got, at.expected, at.error) for at in found.worst]
    assert places[:2] == [("dog.jpg", (2,), 1, 2, 1 / 8), ("cat.jpg", (1,), 2.5, 2, 1 / 16)]
    assert len(places) == 5
    assert found.where is found.worst[0]
    assert not found


def test_the_error_limit_is_inclusive():
    assert agree(ACTUAL, REFERENCE, within(1 / 8), NAMES)
    assert not agree(ACTUAL, REFERENCE, within(numpy.nextafter(1 / 8, 0)), NAMES)


def test_the_smallest_passing_tolerance_passes_and_the_next_smaller_does_not():
    found = agree(ACTUAL * 1.1, REFERENCE, within(1e-3), NAMES).smallest_passing_tolerance
    assert agree(ACTUAL * 1.1, REFERENCE, within(found), NAMES)
    assert not agree(ACTUAL * 1.1, REFERENCE, within(numpy.nextafter(found, 0)), NAMES)


def test_the_cosine_limit_is_inclusive_and_no_tolerance_mends_it():
    cosine = agree(ACTUAL, REFERENCE, within(1 / 8), NAMES).cosine
    assert agree(ACTUAL, REFERENCE, within(1 / 8, cosine), NAMES)
    found = agree(ACTUAL, REFERENCE, within(1 / 8, numpy.nextafter(cosine, 1)), NAMES)
    assert not found
    assert found.smallest_passing_tolerance is None
    assert found.reason == "cosine 0.948683 is below 0.948683"


def test_the_cosine_is_the_smallest_of_all_images_wherever_it_stands():
    for order in ([0, 1], [1, 0]):
        found = agree(ACTUAL[order], REFERENCE[order], within(1.0 - 1e-9), NAMES)
        assert found.cosine == pytest.approx(3 / math.sqrt(10), rel=1e-15)


def test_nothing_is_like_zeros_but_zeros():
    reference = numpy.array([[1.0, 2.0], [0.0, 0.0]])
    assert agree(reference, reference, within(0.1), NAMES).cosine == pytest.approx(1, abs=1e-15)
    assert agree(reference + [[0, 0], [0.1, 0]], reference, within(0.1), NAMES).cosine == 0
    assert agree([[1.0, 2.0], [0, 0]], [[1.0, 2.0], [0.1, 0]], within(0.1), NAMES).cosine == 0


def test_the_largest_change_of_a_probability():
    reference = numpy.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    actual = numpy.log([[0.5, 0.25, 0.25], [0.2, 0.1, 0.7]])
    assert agree(actual, reference, within(1e-3), NAMES).max_probability_change == pytest.approx(0.1)
    assert agree(actual[..., None], reference[..., None], within(1e-3), NAMES).max_probability_change is None
    assert agree(actual[:, 0], reference[:, 0], within(1e-3), NAMES).max_probability_change is None


def test_large_logits_have_probabilities_and_float16_is_computed_in_float64():
    assert softmax(numpy.array([60000.0, 0.0], numpy.float16)).tolist() == [1, 0]
    assert softmax(numpy.array([[0, math.log(3)]])).tolist() == [pytest.approx([0.25, 0.75])]
    reference = numpy.array([[60000, 1], [1, 60000]], numpy.float16)
    found = agree(-reference, reference, within(0.5), NAMES)
    assert found.max_relative_error == 2  # 120000 overflows float16


def test_the_scale_is_the_largest_absolute_value():
    assert largest(numpy.array([-3.0, 2.0])) == 3
    assert largest(numpy.array([-2.0, 3.0])) == 3


def test_any_shape_and_the_place_of_the_worst_element_in_it():
    reference = numpy.arange(2.0 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    actual = reference.copy()
    actual[1, 2, 0, 3] += 119 / 4
    found = agree(actual, reference, within(0.1), NAMES)
    assert (found.where.photograph, found.where.index) == ("dog.jpg", (2, 0, 3))
    assert (found.max_relative_error, found.mismatch_fraction) == (0.25, 1 / 120)
    assert agree(numpy.array([1.0, 3.0]), numpy.array([1.0, 4.0]), within(0.25), NAMES)


def test_the_worst_five_of_many_and_of_equals_the_first():
    random = numpy.random.default_rng(3)
    reference = numpy.concatenate([[-1.0], numpy.zeros(999)])[None]
    for _ in range(20):
        actual, order = reference.copy(), random.permutation(numpy.arange(1, 1000))
        actual[0, order[:900]] = numpy.linspace(0.5, 0, 900)
        actual[0, order[1:3]] = actual[0, order[1]]
        first, tied, fourth, fifth = order[0], sorted(order[1:3]), order[3], order[4]
        worst = agree(actual, reference, within(0.1), "a").worst
        assert [at.index[0] for at in worst] == [first, *tied, fourth, fifth]


def test_the_worst_five_come_from_all_images_in_order():
    reference = numpy.zeros((3, 20))
    reference[:, 0] = [1.0, 2.0, 100.0]
    errors = {(0, 3): 9.0, (1, 7): -11.0, (2, 1): 10.0, (0, 4): 8.0, (1, 8): 7.0, (2, 2): 1.0}
    actual = reference.copy()
    for place, error in errors.items():
        actual[place] += error
    found = agree(actual, reference, within(0.01), "abc")
    assert [(at.photograph, at.index) for at in found.worst] == [
        ("b", (7,)), ("c", (1,)), ("a", (3,)), ("a", (4,)), ("b", (8,)),
    ]  # fmt: skip
    assert [at.error for at in found.worst] == [0.11, 0.1, 0.09, 0.08, 0.07]
    assert found.mismatch_fraction == 5 / 60  # An error of exactly the tolerance is none.


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_refused_and_counted(value):
    actual = REFERENCE.copy()
    actual[1, 1] = value
    found = agree(actual, REFERENCE, within(0.5), NAMES)
    assert not found
    assert found.non_finite == 1
    assert found.reason == "1 values are not finite"
    assert (found.where.photograph, found.where.index) == ("dog.jpg", (1,))
    assert found.max_relative_error == found.mean_relative_error == math.inf
    assert math.isnan(found.cosine)
    assert found.mismatch_fraction == 1 / 6
    assert found.smallest_passing_tolerance is found.max_probability_change is None
    assert "65504" in found.report("x")


def test_a_finite_value_far_beyond_float32_is_refused_without_a_warning(recwarn):
    actual = numpy.array([[1e308, 1.0], [2.0, 1.0]])
    found = agree(actual, numpy.array([[1e-10, 0.0], [0.0, 2e-10]]), within(1.0 - 1e-9), NAMES)
    assert not found
    assert found.non_finite == 0
    assert not recwarn.list


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_reference_that_is_not_finite_is_at_fault_itself(value):
    reference = REFERENCE.copy()
    reference[1, 0] = value
    found = agree(reference, reference, within(0.9), NAMES)
    assert not found
    assert found.reason == "the reference itself is not finite, first on dog.jpg"
    assert found.non_finite == 1
    assert found.max_relative_error is found.where is None
    assert "eager gives NaN" in found.report("x").splitlines()[-1]


@pytest.mark.parametrize("shape", [(2, 4), (1, 3), (2, 3, 1), (3, 2), ()])
def test_another_shape_is_a_verdict(shape):
    found = agree(numpy.ones(shape), REFERENCE, within(0.9), NAMES)
    assert not found
    assert found.reason == f"got shape {shape}, expected (2, 3)"
    assert found.as_dict()["max_relative_error"] is None


def test_nothing_agrees_with_nothing():
    assert "nothing in shape (0, 3)" in agree(REFERENCE[:0], REFERENCE[:0], within(0.9), ()).reason


def test_names_must_be_those_of_the_images():
    with pytest.raises(ValueError, match="1 names for 2 images"):
        agree(ACTUAL, REFERENCE, within(0.9), NAMES[:1])


def test_a_reference_of_zeros_makes_every_comparison_empty():
    for count in (1, 2):
        zeros = numpy.zeros((count, 3))
        assert agree(zeros, zeros, within(0.9), NAMES[:count]).reason == "the reference is zero everywhere"


def test_a_reference_that_a_frozen_engine_would_match_is_refused():
    reference = numpy.array([[8.0, 1.0], [8.0, 2.0], [7.0, 1.0]])  # They differ by 1/8 of the scale.
    names = "abc"
    assert agree(reference, reference, within(numpy.nextafter(1 / 8, 0)), names)
    found = agree(reference, reference, within(1 / 8), names)
    assert not found
    assert found.reason == "the reference hardly depends on the image (by 0.125): a frozen engine would pass"
    for count in (2, 3):
        same = numpy.repeat(reference[:1], count, axis=0)
        assert "frozen" in agree(same, same, within(1e-9), names[:count]).reason


def test_one_image_can_be_compared():
    assert agree(REFERENCE[:1], REFERENCE[:1], within(1e-3), NAMES[:1])
    assert not agree(ACTUAL[:1], REFERENCE[:1], within(1e-3), NAMES[:1])


def test_several_outputs_are_as_good_as_their_worst_each_on_its_own_scale():
    reference = {"boxes": REFERENCE * 1000, "scores": REFERENCE}
    actual = {"scores": ACTUAL, "boxes": REFERENCE * 1000 + 8}
    found = agree_all(actual, reference, within(1 / 8), NAMES)
    assert found
    assert (found.output, found.max_relative_error) == ("scores", 1 / 8)
    found = agree_all(actual, reference, within(1 / 16), NAMES)
    assert not found
    assert "x: scores does not agree: error 0.125 is above 0.0625" in found.report("x")
    assert found.as_dict()["output"] == "scores"


def test_a_refused_output_is_worse_than_one_with_a_larger_error():
    reference = {"a": REFERENCE, "b": REFERENCE, "c": REFERENCE}
    turned = {"a": REFERENCE, "b": ACTUAL, "c": REFERENCE * [[1, 1, 1], [1, 1, 0.9]]}
    limit = within(1 / 8, cosine=0.95)  # b fails by its cosine, and is judged worse than c by its error.
    assert agree_all(turned, reference, limit, NAMES).output == "b"
    broken = {**turned, "a": REFERENCE[:, :2]}
    assert agree_all(broken, reference, limit, NAMES).output == "a"
    assert agree_all({**broken, "c": REFERENCE[:1]}, reference, limit, NAMES).output == "a"


def test_a_failing_output_outranks_a_passing_one_with_a_larger_error():
    reference = {"a": REFERENCE, "b": numpy.array([[80.0, 0], [0, 8]])}
    actual = {"a": REFERENCE + [[0.5, 0, 0], [0, 0, 0]], "b": numpy.array([[80.0, 0], [8, 0]])}
    found = agree_all(actual, reference, within(1 / 8, cosine=0.5), NAMES)
    assert (found.output, found.ok) == ("b", False)


@pytest.mark.parametrize("actual", [{}, {"a": REFERENCE}, {"c": REFERENCE, "a": REFERENCE}])
def test_other_outputs_are_a_verdict(actual):
    found = agree_all(actual, {"b": REFERENCE, "a": REFERENCE}, within(0.5), NAMES)
    assert not found
    assert (found.non_finite, found.where, found.tolerance) == (0, None, within(0.5))
    assert found.reason == f"got the outputs {sorted(actual)}, expected ['a', 'b']"
    assert found.remedy
    assert not agree_all({}, {}, within(0.5), NAMES)
