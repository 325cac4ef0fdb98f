"""Soak, with --soak: after minutes or hours of calls, memory has not grown and outputs are the same as at the start."""

from __future__ import annotations

import pytest

from twins.checks.field.soak import soaked
from twins.judge.field.soak import CALLS_HOST
from twins.judge.verdict import assert_verdict


@pytest.mark.asked_for("soak_s")
@pytest.mark.with_reference
def test_soak(model, twin, session, record):
    """In a worker: steady calls with memory, clocks and heat sampled, then the engine opened and closed 100 times."""
    verdict, figures = soaked(model, twin, session.settings.soak_s)
    record("soak", **figures)
    assert_verdict(verdict, f"{model.name} {twin.name}, soaked")
    if CALLS_HOST not in verdict.growths:
        pytest.skip(f"{figures['calls']} calls in {figures['seconds']:.0f} s are too few to judge memory: soak longer")
