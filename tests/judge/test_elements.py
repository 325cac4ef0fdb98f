"""The largest change of each image over all outputs: what counts, and on which scale."""

from __future__ import annotations

import math

import numpy
import pytest

from fixtures.judge.elements import changes, scales_of

ALONE = {"score": numpy.array([[4.0, 0.0], [2.0, 1.0], [-8.0, 1.0]]), "mask": numpy.array([[0], [1], [1]], numpy.uint8)}


def test_a_change_is_a_share_of_the_scale_over_all_outputs():
    together = {"score": ALONE["score"] + [[0, 0], [0, 0.5], [0, 0]], "mask": numpy.array([[1], [1], [0]], numpy.uint8)}
    found = changes(together, ALONE, scales_of(ALONE), 3)
    assert found == (1.0, 0.0625, 1.0), "unsigned 0 - 1 does not wrap"
    assert changes(ALONE, ALONE, scales_of(ALONE), 3) == (0, 0, 0)


def test_the_imaginary_part_and_values_that_are_not_finite_count():
    alone = {"a": numpy.array([[1 + 1j], [math.nan], [2]])}
    assert changes({"a": alone["a"].conj()}, alone, {"a": 2.0}, 3) == (1.0, 0.0, 0.0)
    assert changes({"a": numpy.array([[1 + 1j], [0], [math.nan]])}, alone, {"a": 2.0}, 3) == (0.0, math.inf, math.inf)


@pytest.mark.parametrize("other", [{}, {"score": ALONE["score"]}, {**ALONE, "score": ALONE["score"][:, :1]}])
def test_outputs_of_another_form_change_on_every_image(other):
    assert changes(other, ALONE, scales_of(ALONE), 3) == (math.inf,) * 3


def test_the_scale_of_zeros_and_of_nan_is_one():
    assert scales_of({"zeros": numpy.zeros((2, 2)), "nan": numpy.array([[math.nan]]), "none": numpy.ones((2, 0))}) == {
        "zeros": 1, "nan": 1, "none": 1,
    }  # fmt: skip
