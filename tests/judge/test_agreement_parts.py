"""Agreement of complex outputs, of the first images alone, and of a twin with itself."""

from __future__ import annotations

import json

import numpy
import pytest

from fixtures.judge.agreement import agree, agree_again, agree_all, agree_first
from fixtures.tolerances.outputs import TABLE
from tests.judge.test_agreement import within

NAMES = [str(place) for place in range(8)]


def spectrum():
    rng = numpy.random.default_rng(0)
    return (rng.normal(size=(8, 16)) + 1j * rng.normal(size=(8, 16))).astype(numpy.complex64)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda right: right.conj(),
        lambda right: right.real.astype(numpy.complex64),
        lambda right: (right.real + 1000j * right.imag).astype(numpy.complex64),
        lambda right: right * 1j,
        lambda right: right.real,
    ],
)
def test_a_wrong_imaginary_part_is_refused(wrong):
    right = spectrum()
    found = agree(wrong(right), right, within(2e-5), NAMES)
    assert not found
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.filterwarnings("error")
def test_the_error_of_complex_numbers_is_the_magnitude_of_their_difference():
    reference = numpy.array([[3 + 4j, 0], [1j, 1]])
    actual = reference + numpy.array([[0, 0], [0, 0.3 - 0.4j]])
    found = agree(actual, reference, within(0.11, cosine=0.9), "ab")
    assert found and found.scale == 5
    assert found.max_relative_error == pytest.approx(0.1)
    assert found.cosine == pytest.approx((1 + 1.3) / numpy.sqrt(2 * (1 + 1.3**2 + 0.4**2)))
    assert found.max_probability_change is None
    assert found.as_dict()["where"]["got"] == pytest.approx([1.3, -0.4])
    assert "got 1.3-0.4j, expected 1+0j" in found.report("x")
    assert agree(reference, reference, within(1e-9), "ab").cosine == pytest.approx(1)


def test_a_complex_reference_that_hardly_depends_on_the_image_is_refused():
    frozen = numpy.repeat(spectrum()[:1], 8, axis=0)
    assert "frozen engine" in agree(frozen, frozen, within(2e-5), NAMES).reason
    turned = frozen * numpy.exp(1j * numpy.arange(8))[:, None]  # The same magnitudes, other phases.
    assert agree(turned, turned, within(2e-5), NAMES)


def masks():
    """Empty for the first two of four images."""
    whole = numpy.zeros((4, 2, 2), numpy.uint8)
    whole[2:, 0] = [[1, 0], [1, 1]]
    return whole


def test_the_first_images_may_be_empty_or_alike_if_all_together_are_not():
    reference = {"mask": masks(), "score": numpy.array([[2.0], [2.0], [4.0], [3.0]])}
    first = {name: array[:2] for name, array in reference.items()}
    assert not agree_all(first, first, within(0.1), "ab"), "which proves nothing of two alone"
    assert agree_first(first, reference, within(0.1), "abcd")
    assert agree_first({**first, "score": first["score"] + 0.4}, reference, within(0.1), "abcd")  # Of a scale of 4.
    found = agree_first({**first, "score": first["score"] + [[0], [0.5]]}, reference, within(0.1), "abcd")
    assert not found and (found.output, found.where.photograph, found.scale) == ("score", "b", 4.0)
    stray = first["mask"].copy()
    stray[1, 0, 0] = 1
    assert not agree_first({**first, "mask": stray}, reference, within(0.1), "abcd")


@pytest.mark.parametrize(
    "reference, reason",
    [
        (numpy.zeros((4, 3)), "zero everywhere"),
        (numpy.ones((4, 3)), "frozen engine"),
        (numpy.array([[1.0], [2.0], [numpy.nan], [1.0]]), "not finite, first on c"),
    ],
)
def test_the_first_images_must_show_what_the_whole_reference_must(reference, reason):
    assert reason in agree_first({"a": reference[:2]}, {"a": reference}, within(0.1), "abcd").reason


@pytest.mark.parametrize("shape", [(5, 3), (2, 4), (2,), (), (0, 3)])
def test_first_images_of_another_shape_are_a_verdict(shape):
    reference = numpy.arange(12.0).reshape(4, 3)
    found = agree_first({"a": numpy.ones(shape)}, {"a": reference}, within(0.1), "abcd")
    assert not found and "shape" in found.reason


@pytest.mark.parametrize("value", [0.0, 640.0])
@pytest.mark.parametrize("judge", [agree_all, agree_first])
def test_a_constant_output_is_judged_by_its_values_if_another_one_depends_on_the_image(judge, value):
    reference = {"map": numpy.array([[1.0], [2.0]]), "anchors": numpy.full((2, 3), value)}
    assert judge(reference, reference, within(1e-3), "ab")
    found = judge({**reference, "anchors": reference["anchors"] + 1}, reference, within(1e-3), "ab")
    assert not found and found.output == "anchors" and found.max_relative_error == pytest.approx(1 / (value or 1))
    frozen = {**reference, "map": numpy.ones((2, 1))}
    assert not judge(frozen, reference, within(1e-3), "ab")
    assert "zero" in judge({"a": numpy.zeros((2, 1))}, {"a": numpy.zeros((2, 1))}, within(1e-3), "ab").reason


def test_an_output_that_depends_on_the_image_by_less_than_the_tolerance_is_still_refused():
    reference = {"map": numpy.array([[1.0], [2.0]]), "score": numpy.array([[1.0], [1.1]])}
    found = agree_all(reference, reference, within(0.2), "ab")
    assert not found and found.output == "score" and "frozen" in found.reason


def test_the_direction_of_rounding_is_not_judged_on_an_image_that_is_all_but_zero():
    """Edge filters on an image of one colour: the reference is nothing but rounding."""
    tolerance = TABLE["fp32", "trained"]
    random = numpy.random.default_rng(0)
    reference = random.normal(size=(3, 50))
    for faint in (1e-8, 1e-5, 1e-3):
        reference[1] = faint * random.normal(size=50)
        noisy = reference + 1e-6 * random.normal(size=(3, 50))
        found = agree(noisy, reference, tolerance, "abc")
        assert found and found.cosine >= tolerance.cosine, faint
    reference[1] = 1e-2 * random.normal(size=50)
    for wrong in (-reference[1], reference[1][::-1], 0 * reference[1]):
        assert not agree(numpy.stack([reference[0], wrong, reference[2]]), reference, tolerance, "abc")


@pytest.mark.parametrize("row", sorted(TABLE))
def test_a_faint_image_may_not_be_lost(row):
    """An image at three tenths of the scale is judged by its direction whatever the tolerance."""
    reference = numpy.array([[1.0, -1.0, 1.0], [0.3, -0.2, 0.1]])
    for wrong in ([0, 0, 0], [0.0, 0.0, 0.1], [-0.1, 0.2, -0.3]):
        assert not agree(numpy.array([reference[0], wrong]), reference, TABLE[row], "ab")


def test_a_twin_may_repeat_zeros_but_nothing_else_for_them():
    zeros = {"mask": masks()[:1]}
    assert agree_again(zeros, zeros, within(0.1), "a")
    stray = {"mask": masks()[2:3]}
    assert not agree_again(stray, zeros, within(0.1), "a")
    assert not agree_again(zeros, stray, within(0.1), "a")
    assert not agree_again({"mask": zeros["mask"][:, :1]}, zeros, within(0.1), "a")
    assert not agree_again({"other": zeros["mask"]}, zeros, within(0.1), "a")
    assert not agree_again(stray, {"mask": numpy.where(stray["mask"], numpy.inf, 0.0)}, within(0.1), "a")
