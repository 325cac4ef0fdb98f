"""Layers: where the time of a call goes, by the PyTorch modules that each layer computes. Recorded, with --layers."""

from __future__ import annotations

import pytest

from twins.layers.case import layers_of


@pytest.mark.asked_for("layers")
@pytest.mark.with_reference
def test_layers(model, twin, batch_size, session):
    """The sum is compared with a call without the profiler. `missing` explains the difference."""
    found = layers_of(twin, batch_size)
    session.record.add("layers", model.name, twin.name, batch_size, **found)
    assert found["layers"], f"{model.name} {twin.name}: the profiler reported no layer"
