"""Repeatability: calls with the same image give the same output, within a tenth of the precision's tolerance."""

from __future__ import annotations

import pytest

from twins.checks import repeatability
from twins.judge.verdict import assert_verdict


@pytest.mark.with_reference
def test_repeatability(model, twin, record):
    """Bit for bit is recorded; a race of one call in five is found in 99 of 100 runs."""
    verdict = repeatability.of_twin(model, twin)
    second = twin.second_repeatability
    record("repeatability", **verdict.as_dict(), rebuilt=second and second.as_dict())
    assert_verdict(verdict, f"{model.name} {twin.name}")
    if second is not None:
        assert_verdict(second, f"{model.name} {twin.name}, built a second time")
