"""Numbers: every output of the twin is eager's, within the precision's tolerance, on every judged photograph."""

from __future__ import annotations

from fixtures.agreement import agree_all, assert_verdict


def test_agreement(model, twin, record):
    """Relative to the reference's scale, over 50 photographs that the twin was not built with."""
    verdict = agree_all(twin.outputs, model.reference, twin.tolerance, model.photographs)
    record("agreement", **verdict.as_dict())
    assert_verdict(verdict, f"{model.name} {twin.name}")
