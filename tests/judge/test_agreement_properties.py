"""Agreement: properties over made-up outputs (hypothesis)."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fixtures.judge.agreement import agree
from fixtures.tolerances.outputs import TABLE
from tests.judge.test_agreement import within

QUICKLY = settings(deadline=None, max_examples=40, derandomize=True)
LOGITS = arrays(numpy.float64, (4, 5), elements=st.floats(-100, 100, width=32))
LIMITS = st.floats(1e-6, 1.0)
FOUR = "abcd"


@QUICKLY
@given(LOGITS, LOGITS, LIMITS)
def test_symmetric_on_a_common_scale(one, other, limit):
    one[0, 0] = other[0, 0] = 128  # Largest of both.
    one[1], other[1] = -one[0], -other[0]  # Neither could be matched by a frozen engine.
    there, back = agree(one, other, within(limit, 0.9), FOUR), agree(other, one, within(limit, 0.9), FOUR)
    assert (there.ok, there.max_relative_error, there.non_finite) == (back.ok, back.max_relative_error, 0)
    assert there.cosine == pytest.approx(back.cosine, abs=1e-12)
    assert there.mismatch_fraction == back.mismatch_fraction


@QUICKLY
@given(LOGITS, st.integers(0, 19), st.sampled_from([math.nan, math.inf, -math.inf]), st.booleans(), st.booleans())
def test_never_true_with_a_value_that_is_not_finite(logits, place, value, in_reference, in_actual):
    assume(in_reference or in_actual)
    actual, reference = logits.copy(), logits.copy()
    actual.flat[place] = value if in_actual else 0
    reference.flat[place] = value if in_reference else 0
    for limit in (within(1e300), *TABLE.values()):
        assert not agree(actual, reference, limit, FOUR)


@QUICKLY
@given(LOGITS, LOGITS, LIMITS, st.integers(-60, 60))
def test_invariant_under_a_common_positive_scale(actual, reference, limit, power):
    one = agree(actual, reference, within(limit, 0.5), FOUR)
    scaled = agree(actual * 2.0**power, reference * 2.0**power, within(limit, 0.5), FOUR)
    assert (one.ok, one.max_relative_error, one.cosine) == (scaled.ok, scaled.max_relative_error, scaled.cosine)


@QUICKLY
@given(LOGITS, LOGITS, LIMITS, LIMITS)
def test_monotone_in_the_tolerance_up_to_where_a_frozen_engine_would_pass(noise, reference, smaller, larger):
    assume(smaller <= larger)
    actual = reference + noise / 1000
    narrow = agree(actual, reference, within(smaller, 0.5), FOUR)
    wide = agree(actual, reference, within(larger, 0.5), FOUR)
    assert wide or not narrow or "frozen" in wide.reason


@QUICKLY
@given(LOGITS, LIMITS)
def test_an_output_agrees_with_itself_unless_the_comparison_is_empty(logits, limit):
    found = agree(logits, logits, within(limit), FOUR)
    assert found.max_relative_error == 0 if found else found.worst == ()


@QUICKLY
@given(LOGITS, LOGITS, LIMITS, st.permutations(range(3)))
def test_independent_of_the_order_of_the_images(noise, reference, limit, order):
    order = [0, *(place + 1 for place in order)]  # The first stays: it stands for the frozen engine.
    actual = reference + noise / 1000
    one = agree(actual, reference, within(limit, 0.5), FOUR)
    other = agree(actual[order], reference[order], within(limit, 0.5), FOUR)
    assert (one.ok, one.max_relative_error, one.cosine) == (other.ok, other.max_relative_error, other.cosine)
