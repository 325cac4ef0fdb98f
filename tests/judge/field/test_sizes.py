"""Tests of the verdict on sizes, and of the mutants that it must refuse."""

from __future__ import annotations

import dataclasses

import numpy
import pytest

from fixtures.judge.field.sizes import Visit, sizes_agree
from fixtures.mutants.sizes import SIZE_MUTANTS
from fixtures.tolerances.outputs import tolerance

SMALL, BEST, LARGE = (4, 4), (6, 6), (8, 10)
NAMES = ("a.jpg", "b.jpg", "c.jpg")
LIMIT = tolerance("fp32", "calibrated")


def outputs(size, fixed):
    """Like a segmenter's, of the input's size; or like a classifier's, whatever the size."""
    random = numpy.random.default_rng(size)
    return {"out": random.normal(size=(3, 5) if fixed else (3, 2, *size)).astype(numpy.float32)}


def visits(fixed=False):
    sizes = [BEST, SMALL, LARGE, SMALL, BEST, LARGE, BEST]
    return tuple(
        Visit(before, size, {"out": outputs(size, fixed)["out"][:1]}, outputs(size, fixed), 0.02, 0.01)
        for before, size in zip(sizes, sizes[1:])
    )


def judged(found, fixed=False):
    return sizes_agree(found, {size: outputs(size, fixed) for size in (SMALL, BEST, LARGE)}, LIMIT, NAMES, "cpu")


@pytest.mark.parametrize("fixed", [False, True])
def test_a_twin_that_follows_every_switch_agrees(fixed):
    found = judged(visits(fixed), fixed)
    assert found and len(found.visits) == 6 and found.report("x") == "x: agrees at every size"


@pytest.mark.parametrize("fixed", [False, True], ids=["segmenter", "classifier"])
@pytest.mark.parametrize("mutant", SIZE_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_twin_with_outputs_of_the_previous_size_is_refused_and_the_switch_is_named(mutant, fixed):
    found = judged(SIZE_MUTANTS[mutant](visits(fixed)), fixed)
    assert not found
    report = found.report("x").splitlines()
    assert report[0].startswith("x, 8×10 after 4×4, first call: out does not agree")
    assert report[-1].startswith("If this is the shape or the output of the size before")


def test_a_later_image_that_is_wrong_is_found_too():
    first, *others = visits()
    wrong = {"out": first.outputs["out"].copy()}
    wrong["out"][2] *= 1.1
    found = judged((dataclasses.replace(first, outputs=wrong), *others))
    assert not found and found.report("x").startswith("x, 4×4 after 6×6: out does not agree")
