"""Proof that the checks can fail: each must catch the deliberately broken twins (mutants) assigned to it."""

from __future__ import annotations

from twins.checks.field import sizes, streams
from twins.checks.repeatability import title
from twins.checks.sensitivity import try_mutants
from twins.judge.verdict import assert_verdict


def test_sensitivity(model, twin, record):
    """A mutant that passes fails the run, and the check that missed it is named."""
    further = [*streams.mutants(model, twin), *sizes.mutants(model, twin)]
    sensitivity = try_mutants(model, twin, further)
    record("mutants", **sensitivity.as_dict())
    assert_verdict(sensitivity, title(model, twin, sensitivity))
