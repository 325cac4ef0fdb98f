"""Builds only, with --build-only: every model becomes an engine, on a machine that may not be able to run it."""

from __future__ import annotations

import pytest


@pytest.mark.build_only
def test_build(model, twin, record):
    """The builder accepts the model. Size of the engine, layers, time and memory of the build are recorded."""
    record("builds", built_for=list(model.session.settings.build_options.compute_capabilities), **twin.figures)
    assert twin.figures["engine_bytes"] > 0 and twin.figures["network_layers"] > 0
