"""Latency of each twin and of the engine that another run built, in alternating blocks. Only with --beside-engines."""

from __future__ import annotations

import pytest

from twins.checks import second_build
from twins.measure.latency import FEWEST_BLOCKS


@pytest.mark.asked_for("beside_engines")
def test_latency_beside_base(model, twin, batch_size, session):
    """Records the blocks of both engines; `python -m twins.compare` judges them."""
    found = second_build.calls_beside(twin, batch_size, session.settings.beside_engines)
    session.record.add("beside_base", model.name, twin.name, batch_size, **found)
    assert len(found["twin_blocks_s"]) == len(found["base_blocks_s"]) >= FEWEST_BLOCKS
