"""Streams: several contexts of one engine at once give the outputs of serial calls. Only with --streams."""

from __future__ import annotations

import pytest

from twins.checks.field import streams as check
from twins.judge.verdict import assert_verdict


@pytest.mark.with_reference
def test_streams(model, twin, streams, session):
    """Throughput, latency under load and memory of each context are recorded."""
    reason = check.not_offered(twin)
    if reason:
        pytest.skip(reason)
    verdict, figures = check.run_streams(model, twin, streams)
    session.record.add("streams", model.name, twin.name, streams=streams, **verdict.as_dict(), **figures)
    assert_verdict(verdict, f"{model.name} {twin.name}, {streams} stream{'s' * (streams > 1)}")
