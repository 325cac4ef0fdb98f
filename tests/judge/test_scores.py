"""Scores that share a tensor with boxes in pixels are judged on their own scale."""

from __future__ import annotations

import numpy
import pytest

from fixtures.judge.agreement import agree_all, agree_first
from fixtures.tolerances.outputs import TABLE

NAMES = "abc"


def boxes_and_scores():
    random = numpy.random.default_rng(0)
    return numpy.concatenate([640 * random.random((3, 20, 4)), random.random((3, 20, 3))], axis=2)


LAYOUTS = {
    "last": lambda rows: rows,
    "axis 1": lambda rows: rows.transpose(0, 2, 1),
    "grid": lambda rows: rows.reshape(3, 4, 5, 7),
}


@pytest.mark.parametrize("judge", [agree_all, agree_first])
@pytest.mark.parametrize("row", [("fp16", "trained"), ("int8", "trained"), ("tf32", "trained")])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_wrong_scores_beside_pixels_are_refused_and_named(layout, row, judge):
    right = boxes_and_scores()
    wrong = right.copy()
    wrong[..., 4:] = 1 - right[..., 4:]
    tolerance, reference = TABLE[row], {"output": layout(right)}
    near = layout(right * (1 + 1e-3 * numpy.random.default_rng(1).normal(size=right.shape)))
    assert judge({"output": near}, reference, tolerance, NAMES) or row[0] == "tf32"
    found = judge({"output": layout(wrong)}, reference, tolerance, NAMES)
    assert not found and "scores in channels 4 to 6" in found.output
    wrong = right.copy()
    wrong[..., :4] = 640 - right[..., :4]
    found = judge({"output": layout(wrong)}, reference, tolerance, NAMES)
    assert not found and found.output == "output"


@pytest.mark.parametrize(
    "reference",
    [
        numpy.random.default_rng(0).normal(size=(3, 20, 7)) * [1, 1, 1, 1, 1, 1, 1e-3],
        numpy.random.default_rng(0).random((3, 20, 7)),
        numpy.random.default_rng(0).random((3, 20, 7)) * [640, 640, 640, 640, 1e-3, 1e-3, 1e-3],
        numpy.random.default_rng(0).random((3, 7)) * [640, 640, 640, 640, 1, 1, 1],
    ],
    ids=["a faint channel of features", "scores alone", "untrained scores", "rank 2"],
)
def test_noise_of_the_precision_is_judged_on_the_scale_of_the_whole(reference):
    tolerance = TABLE["fp16", "trained"]
    noise = 1e-3 * numpy.abs(reference).max() * numpy.random.default_rng(1).uniform(-1, 1, reference.shape)
    found = agree_all({"output": reference + noise}, {"output": reference}, tolerance, NAMES)
    assert found and found.output == "output"


def test_an_output_that_is_missing_or_of_another_shape_is_still_named():
    reference = {"output": boxes_and_scores()}
    tolerance = TABLE["fp16", "trained"]
    assert "got the outputs ['other']" in agree_all({"other": reference["output"]}, reference, tolerance, NAMES).reason
    assert "shape" in agree_all({"output": reference["output"][..., :6]}, reference, tolerance, NAMES).reason
