"""Proof that the checks can fail: each must catch the deliberately broken twins (mutants) assigned to it."""

from __future__ import annotations

import pytest

from twins.checks.field import sizes, streams
from twins.checks.repeatability import title
from twins.checks.sensitivity import try_mutants
from twins.judge.verdict import assert_verdict


@pytest.mark.last
def test_sensitivity(model, twin, session, record):
    """A mutant that passes fails the run, and the check that missed it is named.

    Skipped if a check also refuses the unchanged twin and its own test has failed because of that.
    """
    further = [*streams.mutants(model, twin), *sizes.mutants(model, twin)]
    sensitivity = try_mutants(model, twin, further)
    record("mutants", **sensitivity.as_dict())
    tests = [f"test_{check}" for check in sensitivity.misjudged]
    if tests and not sensitivity.survivors and set(tests) <= session.record.failed(model.name, twin.name):
        pytest.skip(f"mutants prove nothing about a twin that fails itself; see {', '.join(tests)}")
    assert_verdict(sensitivity, title(model, twin, sensitivity))
