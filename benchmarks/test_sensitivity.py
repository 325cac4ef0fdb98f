"""Proof that the checks can fail: wrong twins, made from the right one, are refused by the check that owns them."""

from __future__ import annotations

from fixtures.checks.repeatability import title
from fixtures.checks.sensitivity import try_mutants
from fixtures.judge.verdict import assert_verdict


def test_sensitivity(model, twin, record):
    """A mutant that survives fails the run and names the check that slept."""
    sensitivity = try_mutants(model, twin)
    record("mutants", **sensitivity.as_dict())
    assert_verdict(sensitivity, title(model, twin, sensitivity))
