"""Decisions: properties over made-up logits (hypothesis)."""

from __future__ import annotations

from dataclasses import replace

import numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fixtures.judge.decisions import top1
from fixtures.tolerances.outputs import TABLE
from tests.judge.test_decisions import LIMIT, names

QUICKLY = settings(deadline=None, max_examples=40, derandomize=True)
VALUES = st.sampled_from([0.0, 1.0, 1.5, 2.0, 7.0, 7.5, 8.0])
LOGITS = arrays(numpy.float64, (50, 3), elements=VALUES, fill=st.nothing())


def with_a_scale(logits):
    """The logits with a fixed scale of 8, and two images that no frozen engine can match."""
    logits[:2] = [[8, 0, 1], [0, 8, 1]]
    logits[(logits == logits[:, :1]).all(axis=1)] = [1, 2, 7]
    return logits


@QUICKLY
@given(LOGITS, LOGITS, st.sampled_from([1 / 64, 1 / 32, 1 / 16, 1 / 8]))
def test_no_flip_above_the_bound_is_excused_and_the_bound_is_independent_of_the_error(actual, reference, limit):
    reference = with_a_scale(reference)
    found = top1(actual, reference, replace(LIMIT, relative_error=limit), names(50))
    assert {flip.excusable_margin for flip in found.flips} <= {2 * limit * 8}
    excusable = [flip for flip in found.flips if flip.margin <= 2 * limit * 8]
    assert found.excused == min(1, len(excusable))
    assert bool(found) == (len(found.flips) == found.excused)
    assert found.same + len(found.flips) == found.total == 50
    for flip in found.flips:
        row = int(flip.photograph[:-4])
        assert flip.margin == reference[row].max() - reference[row, actual[row].argmax()]
        assert flip.margin > 0


@QUICKLY
@given(LOGITS, LOGITS)
def test_fp32_holds_only_where_every_decision_is_the_same(actual, reference):
    reference = with_a_scale(reference)
    found = top1(actual, reference, TABLE["fp32", "trained"], names(50))
    right = reference[numpy.arange(50), actual.argmax(axis=1)] == reference.max(axis=1)
    assert bool(found) == right.all()
    assert found.same == right.sum()


@QUICKLY
@given(LOGITS, LOGITS, st.integers(-40, 40))
def test_decisions_are_invariant_under_a_common_positive_scale(actual, reference, power):
    reference = with_a_scale(reference)
    one = top1(actual, reference, LIMIT, names(50))
    other = top1(actual * 2.0**power, reference * 2.0**power, LIMIT, names(50))
    assert (one.ok, one.same, one.excused, len(one.flips)) == (other.ok, other.same, other.excused, len(other.flips))


@QUICKLY
@given(LOGITS, LOGITS, st.floats(1e-3, 0.4), st.floats(1e-3, 0.4))
def test_decisions_are_monotone_in_the_tolerance(actual, reference, one, other):
    reference = with_a_scale(reference)
    narrow = top1(actual, reference, replace(LIMIT, relative_error=min(one, other)), names(50))
    wide = top1(actual, reference, replace(LIMIT, relative_error=max(one, other)), names(50))
    assert wide.excused >= narrow.excused
    assert wide or not narrow
